bad deep-path-10000
larder ls -R deep-path-10000 HomeDomain/d >out; echo $?
wc -l <out
tail -n 1 out | wc -c
