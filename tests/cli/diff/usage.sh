larder diff; echo $?
larder diff a; echo $?
larder diff a b c; echo $?
larder diff -x a b; echo $?
larder diff --yes a b; echo $?
larder diff --other-passfile; echo $?
larder diff --only "" a b; echo $?
