"""Write small volumes in every format that is read; shared by the tests of the readers."""

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

TO_LPS = np.diag([-1.0, -1.0, 1.0])


def rows(vector: np.ndarray) -> str:
    return "(" + ",".join(repr(float(x)) for x in vector) + ")"


def write_nifti(path: Path, data: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def nrrd_bytes(
    data: np.ndarray, affine: np.ndarray, *, encoding: str = "gzip", extra: str = "", **fields: str
) -> bytes:
    """`affine` maps indices to RAS mm; a first axis beyond three lists layers."""
    columns, origin = TO_LPS @ affine[:3, :3], TO_LPS @ affine[:3, 3]
    listed = data.ndim == 4
    kinds = {"u1": "uint8", "i2": "int16", "u2": "uint16", "f4": "float", "i4": "int32"}
    table = {
        "type": kinds[data.dtype.str[1:]],
        "dimension": str(data.ndim),
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, data.shape)),
        "space directions": ("none " if listed else "") + " ".join(rows(columns[:, n]) for n in range(3)),
        "kinds": ("list " if listed else "") + "domain domain domain",
        "endian": "little",
        "encoding": encoding,
        "space origin": rows(origin),
    } | {key.replace("_", " "): value for key, value in fields.items()}
    header = (
        "NRRD0004\n# a test\n" + "".join(f"{key}: {value}\n" for key, value in table.items() if value) + extra + "\n"
    )
    body = data.tobytes(order="F")
    if encoding in ("gzip", "gz"):
        packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        body = packer.compress(body) + packer.flush()
    return header.encode() + body


def segment(number: int, name: str, value: int, layer: int) -> str:
    return (
        f"Segment{number}_Name:={name}\nSegment{number}_LabelValue:={value}\nSegment{number}_Layer:={layer}\n"
        f"Segment{number}_Tags:=Segmentation.Status:inprogress|TerminologyEntry:a~b^c|\n"
    )


def metaimage_header(data: np.ndarray, affine: np.ndarray, file: str = "LOCAL", **keys: str) -> str:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions, origin = TO_LPS @ (affine[:3, :3] / spacing), TO_LPS @ affine[:3, 3]
    kinds = {"u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT", "f4": "MET_FLOAT"}

    def text(numbers: np.ndarray) -> str:
        return " ".join(repr(float(x)) for x in numbers)

    table = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": text(directions.T.ravel()),
        "Offset": text(origin),
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": text(spacing),
        "DimSize": " ".join(map(str, data.shape)),
        "ElementType": kinds[data.dtype.str[1:]],
    } | keys
    return "".join(f"{key} = {value}\n" for key, value in table.items() if value) + f"ElementDataFile = {file}\n"


def write_mha(path: Path, data: np.ndarray, affine: np.ndarray, *, compressed: bool = True, **keys: str) -> Path:
    body = data.tobytes(order="F")
    if compressed:
        body = zlib.compress(body)
        keys = {"CompressedData": "True", "CompressedDataSize": str(len(body)), **keys}
    path.write_bytes(metaimage_header(data, affine, **keys).encode() + body)
    return path


def dicom_file(kind: str) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["a test"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = dataset.FrameOfReferenceUID = "1.2.3"
    dataset.PatientID = dataset.PatientName = "nobody"
    return dataset


def with_pixels(dataset: Dataset, pixels: np.ndarray, bits: int, *, signed: bool = False) -> Dataset:
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(signed)
    dataset.PixelData = (
        np.packbits(pixels.ravel(), bitorder="little").tobytes()
        if bits == 1
        else np.ascontiguousarray(pixels).tobytes()
    )
    if len(dataset.PixelData) % 2:
        dataset.PixelData += b"\0"
    dataset["PixelData"].VR = "OB" if bits <= 8 else "OW"
    return dataset


def geometry(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return directions and positions' origin (LPS mm), and spacing, of axes i (along a row), j (down), k (slices)."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return TO_LPS @ (affine[:3, :3] / spacing), TO_LPS @ affine[:3, 3], spacing


def write_series(
    folder: Path, hounsfield: np.ndarray, affine: np.ndarray, *, syntax: str = "", shuffle: int = 0
) -> Path:
    """A CT series: axis i runs along rows, j down columns, k through slices (right-handed affines only)."""
    folder.mkdir(exist_ok=True)
    directions, origin, spacing = geometry(affine)
    order = np.random.default_rng(shuffle).permutation(hounsfield.shape[2])
    for name, index in enumerate(order):
        dataset = dicom_file("1.2.840.10008.5.1.4.1.1.2")
        dataset.Modality, dataset.SeriesInstanceUID, dataset.SeriesDescription = "CT", "1.2.3.4", "Abdomen"
        dataset.InstanceNumber = int(index) + 1
        dataset.ImageOrientationPatient = [round(float(x), 12) for x in [*directions[:, 0], *directions[:, 1]]]
        position = origin + directions[:, 2] * spacing[2] * index
        dataset.ImagePositionPatient = [round(float(x), 9) for x in position]
        dataset.PixelSpacing = [float(spacing[1]), float(spacing[0])]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        with_pixels(dataset, (hounsfield[:, :, index].T + 1024).astype(np.uint16), 16)
        if syntax:
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(folder / f"{name:04d}.dcm", enforce_file_format=True)
    return folder


def write_seg(
    path: Path, masks: dict[str, np.ndarray], affine: np.ndarray, *, kind: str = "BINARY", syntax: str = ""
) -> Path:
    directions, origin, spacing = geometry(affine)
    dataset = dicom_file("1.2.840.10008.5.1.4.1.1.66.4")
    dataset.Modality, dataset.SeriesInstanceUID, dataset.SegmentationType = "SEG", "1.2.3.5", kind
    dataset.SegmentSequence, dataset.PerFrameFunctionalGroupsSequence = [], []
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [float(spacing[1]), float(spacing[0])]
    measures.SpacingBetweenSlices = measures.SliceThickness = float(spacing[2])
    plane.ImageOrientationPatient = [round(float(x), 12) for x in [*directions[:, 0], *directions[:, 1]]]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    dataset.SharedFunctionalGroupsSequence = [shared]
    pictures = []
    for number, (name, mask) in enumerate(masks.items(), start=1):
        one = Dataset()
        one.SegmentNumber, one.SegmentLabel, one.SegmentAlgorithmType = number, name, "MANUAL"
        dataset.SegmentSequence.append(one)
        for index in np.flatnonzero(mask.any(axis=(0, 1))):  # empty slices are left out
            frame, place, owner = Dataset(), Dataset(), Dataset()
            position = origin + directions[:, 2] * spacing[2] * index
            place.ImagePositionPatient = [round(float(x), 9) for x in position]
            owner.ReferencedSegmentNumber = number
            frame.PlanePositionSequence, frame.SegmentIdentificationSequence = [place], [owner]
            dataset.PerFrameFunctionalGroupsSequence.append(frame)
            pictures.append(mask[:, :, index].T.astype(np.uint8))
    stack = np.stack(pictures)
    dataset.NumberOfFrames = len(stack)
    if kind == "LABELMAP":  # one frame a slice, whose pixels are segment numbers
        numbers = sum(mask.astype(np.uint16) * n for n, mask in enumerate(masks.values(), start=1))
        dataset.PerFrameFunctionalGroupsSequence = []
        for index in range(numbers.shape[2]):
            frame, place = Dataset(), Dataset()
            place.ImagePositionPatient = [round(float(x), 9) for x in origin + directions[:, 2] * spacing[2] * index]
            frame.PlanePositionSequence = [place]
            dataset.PerFrameFunctionalGroupsSequence.append(frame)
        dataset.NumberOfFrames = numbers.shape[2]
        with_pixels(dataset, numbers.transpose(2, 1, 0), 16)
    elif kind == "FRACTIONAL":
        dataset.SegmentationFractionalType, dataset.MaximumFractionalValue = "PROBABILITY", 200
        with_pixels(dataset, stack * np.uint8(150), 8)
    else:
        with_pixels(dataset, stack, 1)
    if syntax:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_enhanced(path: Path, hounsfield: np.ndarray, affine: np.ndarray) -> Path:
    """A CT of many frames in one file, the frames in the order of the slices backwards."""
    directions, origin, spacing = geometry(affine)
    dataset = dicom_file("1.2.840.10008.5.1.4.1.1.2.1")
    dataset.Modality, dataset.SeriesInstanceUID, dataset.NumberOfFrames = "CT", "1.2.3.6", hounsfield.shape[2]
    shared, measures, plane, value = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [float(spacing[1]), float(spacing[0])]
    plane.ImageOrientationPatient = [round(float(x), 12) for x in [*directions[:, 0], *directions[:, 1]]]
    value.RescaleSlope, value.RescaleIntercept = 1, -1024
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.PixelValueTransformationSequence = [value]
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], []
    for index in reversed(range(hounsfield.shape[2])):
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = [round(float(x), 9) for x in origin + directions[:, 2] * spacing[2] * index]
        frame.PlanePositionSequence = [place]
        dataset.PerFrameFunctionalGroupsSequence.append(frame)
    with_pixels(dataset, (hounsfield[:, :, ::-1].transpose(2, 1, 0) + 1024).astype(np.uint16), 16)
    dataset.save_as(path, enforce_file_format=True)
    return path
