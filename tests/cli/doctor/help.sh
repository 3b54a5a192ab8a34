larder doctor --help
