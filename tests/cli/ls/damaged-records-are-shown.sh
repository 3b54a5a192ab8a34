bad blob-garbage
larder ls -l --quiet blob-garbage HomeDomain/Library
larder ls --json --quiet blob-garbage HomeDomain/Library
