#!/bin/sh
# wrong_processor.sh PROGRAM: the program ends with status 2 and one line that names what the processor lacks.
line=$("$1" 2>&1)
status=$?
echo "$line"
[ $status -eq 2 ] || { echo "it ended with status $status"; exit 1; }
case $line in
*'
'*) echo 'it said more than one line'; exit 1 ;;
'elbo: this build is for a processor with '*', which this one lacks; '*) ;;
*) exit 1 ;;
esac
