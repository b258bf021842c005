"""Predict a picture with a LiteRT file: ``python run_litert.py MODEL.tflite PICTURE OUT.png``.

It stands alone: copy it. ``pip install ai-edge-litert numpy pillow``, or ``tensorflow`` for the first.
"""

import json
import sys
import zipfile

import numpy as np
from PIL import Image, ImageOps

try:
    from ai_edge_litert.interpreter import Interpreter
except ModuleNotFoundError:
    from tensorflow.lite import Interpreter


def main(model: str, picture: str, out: str) -> None:
    """Write the class of each pixel as a PNG with the classes' colours, and print their shares."""
    with zipfile.ZipFile(model) as archive:
        about = json.loads(archive.read('metadata.json'))
    interpreter = Interpreter(model)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    image = ImageOps.exif_transpose(Image.open(picture)).convert('RGB')
    fitted = image.resize(taken['shape'][2:0:-1].tolist(), Image.Resampling.BILINEAR)
    interpreter.set_tensor(taken['index'], np.asarray(fitted, np.float32)[None])
    interpreter.invoke()
    maps = np.moveaxis(interpreter.get_tensor(given['index'])[0], 2, 0)
    maps = np.stack(
        [Image.fromarray(one).resize(image.size, Image.Resampling.BILINEAR) for one in maps]
    )
    labels = (maps[1] > about['threshold'] if len(maps) == 2 else maps.argmax(0)).astype(np.uint8)
    mask = Image.fromarray(labels)
    mask.putpalette([value for colour in about['palette'] for value in colour])
    mask.save(out)
    for number, name in enumerate(about['classes']):
        print(f'{name}: {(labels == number).mean():.1%}')


if __name__ == '__main__':
    main(*sys.argv[1:])
