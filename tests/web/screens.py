"""Width and height of the screens that pages are looked at with, in CSS pixels."""

LAPTOP, PHONE = (1280, 800), (390, 844)
