larder
