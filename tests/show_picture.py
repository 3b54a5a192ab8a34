#!/usr/bin/python3
"""Draw a picture in the terminal, small: show_picture.py [--colour] FILE."""

import sys

try:
    from PIL import Image
except ImportError:
    sys.exit(0)

WIDTH, HEIGHT = 56, 20
SHADES = " .:-=+*#%@"


def main():
    try:
        picture = Image.open(sys.argv[-1]).convert("RGB")
    except OSError:     # a format that PIL does not read, HEIC for one
        return
    colour = sys.argv[1] == "--colour"
    if colour:          # two pixels a character
        picture = picture.resize((WIDTH, 2 * HEIGHT))
        for y in range(0, 2 * HEIGHT, 2):
            for x in range(WIDTH):
                above, below = (picture.getpixel((x, y + i)) for i in (0, 1))
                print("\033[38;2;%d;%d;%dm\033[48;2;%d;%d;%dm\u2580"
                      % (above + below), end="")
            print("\033[0m")
    else:
        picture = picture.convert("L").resize((WIDTH, HEIGHT))
        for y in range(HEIGHT):
            print("".join(SHADES[picture.getpixel((x, y)) * 9 // 255]
                          for x in range(WIDTH)).rstrip())


if __name__ == "__main__":
    main()
