"""Four free pictures out of scikit-image's wheel, as 224 x 224 RGB PNG files: writes models/pictures."""

from common import folder
from PIL import Image
from skimage import data

SIZE = 224
PICTURES = {"cat": data.chelsea, "coffee": data.coffee, "camera": data.camera, "astronaut": data.astronaut}


def centre_square(picture: Image.Image) -> Image.Image:
    """Cut out the largest centred square of the picture, resized to the model's input size."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    return square.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def main() -> None:
    target = folder("pictures")
    for name, load in PICTURES.items():
        path = target / f"{name}.png"
        centre_square(Image.fromarray(load()).convert("RGB")).save(path, optimize=True)
        print(f"pictures/{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
