bad keybag-one-class-damaged
cp -a keybag-one-class-damaged before
larder rekey --passfile "$PASS" --new-passfile "$PASS" keybag-one-class-damaged
echo $?
diff -r before keybag-one-class-damaged; echo $?
