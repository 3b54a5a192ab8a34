mkdir -p tree/HomeDomain/Library
echo content >tree/HomeDomain/Library/file
mkfifo tree/HomeDomain/fifo
touch tree/loose
larder pack tree out
larder ls -R out HomeDomain
