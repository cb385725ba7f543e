import cv2
import pytest

from assets.errors import InputError
from scenarios.gallery import GalleryOptions, gallery
from sim.degradations.settings import AXES


def test_every_degradation_is_in_the_picture(tube_folder, tmp_path):
    out = tmp_path / "gallery.png"
    gallery(GalleryOptions(out=out, patients=(str(tube_folder),), size=40))
    picture = cv2.imread(str(out))
    assert picture.shape == ((2 + len(AXES) // 2) * (40 + 18), 8 * 40, 3)
    rows = picture.reshape(2 + len(AXES) // 2, 58, 2, 160, 3)[2:, 18:]
    looks = picture[58 + 18 : 2 * 58].reshape(40, 8, 40, 3).astype(int).swapaxes(0, 1)
    assert (abs(looks[1:] - looks[:-1]).mean(axis=(1, 2, 3)) > 2).all()
    clean, worst = rows[:, :, :, :40].astype(int), rows[:, :, :, 120:].astype(int)
    assert (abs(clean - worst).mean(axis=(1, 3, 4)) > 0.3).all()


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(InputError, match="png or"):
        GalleryOptions(out=tmp_path / "a.gif")
    with pytest.raises(InputError, match="within 32 and 1024"):
        GalleryOptions(out=tmp_path / "a.png", size=5000)
