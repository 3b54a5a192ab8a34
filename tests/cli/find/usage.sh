larder find --timeout 0
larder find --timeout x
larder find --colour
