larder find .
