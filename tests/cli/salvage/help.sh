larder salvage --help
