#!/bin/sh
# Builds the MSI of a program with Debian's wixl, and signs program and MSI where a signing hook is set.
# Usage: build.sh WXS PROGRAM.exe VERSION OUT.msi
# TENKEN_SIGN: shell commands that sign the file "$1" in place, run in the folder build.sh was called from:
#   osslsigncode sign -pkcs12 code.p12 -readpass code.pass -h sha256 -n Tenken -ts URL -in "$1" -out "$1.signed" && mv "$1.signed" "$1"
#   or a script of your own: ./sign.sh "$1"
set -eu
wxs=$(realpath "$1") program=$(realpath "$2") version=$3 out=$(realpath -m "$4")
here=$PWD

# wixl takes only relative sources.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$program" "$folder/"
cp "$wxs" "$folder/package.wxs"

sign() {
    if [ -n "${TENKEN_SIGN:-}" ]; then
        before=$(cksum < "$1")
        (cd "$here" && sh -euc "$TENKEN_SIGN" sign "$1")
        if [ "$(cksum < "$1")" = "$before" ]; then
            echo "TENKEN_SIGN left $(basename "$1") as it was: it must sign the file \"\$1\" in place" >&2
            exit 1
        fi
    fi
}

cd "$folder"
sign "$folder/$(basename "$program")"
wixl --arch x64 -D Version="$version" -o "$folder/package.msi" package.wxs
# What wixl has no words for. The old version goes before the new one comes, so that its service does not
# hold the program. ENROLTOKEN passes from a person to the installer's service, and into no log: it is
# forgotten once all is done.
msibuild package.msi -q "UPDATE \`InstallExecuteSequence\` SET \`Sequence\`=1510 WHERE \`Action\`='RemoveExistingProducts'"
if msiinfo export package.msi Property | grep -q ENROLTOKEN; then
    msibuild package.msi \
        -q "UPDATE \`Property\` SET \`Value\`='WIX_DOWNGRADE_DETECTED;WIX_UPGRADE_DETECTED;ENROLTOKEN' WHERE \`Property\`='SecureCustomProperties'" \
        -q "UPDATE \`CustomAction\` SET \`Type\`=11282 WHERE \`Action\`='SetUp'" \
        -q "UPDATE \`InstallExecuteSequence\` SET \`Sequence\`=6610 WHERE \`Action\`='ForgetToken'"
fi
sign "$folder/package.msi"
mv "$folder/package.msi" "$out"
