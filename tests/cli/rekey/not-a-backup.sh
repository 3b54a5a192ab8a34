mkdir -p tree/HomeDomain
larder rekey --passfile "$PASS" --new-passfile "$PASS" tree; echo $?
larder rekey --new-passfile "$PASS" --encrypt-to out tree; echo $?
larder rekey --decrypt-to out none; echo $?
ls
