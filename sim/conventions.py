"""What a data set's members hold, in words and numbers: part of each dataset.json."""

CONVENTIONS: dict[str, str] = {
    "units": "metres, seconds, radians",
    "camera_axes": "OpenCV: x right, y down, z forward; the centre of the top left pixel is (0, 0)",
    "world_axes": "patient RAS: x right, y anterior, z superior",
    "T_world_camera": "4 x 4 row by row; maps points from the camera's axes to the world's",
    "rgb.png": "8 bit sRGB; 0 where nothing",
    "semantic.png": "8 bit label ids (see labels), exact; 0 where nothing",
    "instance.png": "16 bit id of the thing seen, exact: 1 + its place in the scene; all parts of an instrument "
    "are one thing; 0 where nothing",
    "depth.png": "16 bit z-depth along the optical axis in steps of depth_step metres; 0 where nothing",
    "normal.png": "8 bit a component in the order red x, green y, blue z: 128 + round(127 n); camera axes, facing the "
    "camera, at most 0.4 degrees off; 0, 0, 0 where nothing",
    "flow.png": "optional; 16 bit, red 32768 + round(64 du), green 32768 + round(64 dv) [px] to the next frame, "
    "blue 1 where valid; 0, 0, 0 where not",
    "flow_back.png": "optional; as flow.png, to the frame before: where the point was, less where it is",
    "part.png": "optional; 16 bit, 1 + the index of the object in the scene, so of one part of an instrument, exact; 0 "
    "where nothing",
    "distance.png": "optional; 16 bit way from the lens along the pixel's ray in steps of depth_step metres; "
    "0 where nothing",
    "object_point.png": "optional; 16 bit a component in the order red x, green y, blue z: 32768 + round(p / 50 um); "
    "the point on its object at rest, in the object's own frame (the world's if it never moved); 0, 0, 0 where nothing",
    "light_distance.png": "optional; 16 bit way from the middle of the light guides to the seen point in steps of "
    "depth_step metres; 0 where nothing",
    "rgb.jpg": "in place of rgb.png on request; JPEG of quality 95, colours not subsampled; not exact, near 0 where "
    "nothing",
    "depth.npy": "in place of depth.png on request; NumPy's format 1.0, 32 bit floats, exact, as all .npy; metres, "
    "shape (h, w), 0 where nothing",
    "distance.npy": "in place of distance.png on request; as depth.npy",
    "light_distance.npy": "in place of light_distance.png on request; as depth.npy",
    "normal.npy": "in place of normal.png on request; unit vectors x, y, z, shape (h, w, 3); 0, 0, 0 where nothing",
    "object_point.npy": "in place of object_point.png on request; metres, shape (h, w, 3); 0, 0, 0 where nothing",
    "flow.npy": "in place of flow.png on request; du, dv [px] and 1 where valid, shape (h, w, 3); 0, 0, 0 where not",
    "flow_back.npy": "in place of flow_back.png on request; as flow.npy",
    "meta.json": "pose, camera, time, exposure (gain of the image, 1 is nominal), depth_step and the sample's own data",
}
