# What the demo prints with, and how it runs SQL. Sourced by run and break-in.
# shellcheck shell=bash

bold_on='' red_on='' green_on='' dim_on='' off=''
if [ -t 1 ]; then
	bold_on=$'\e[1m' red_on=$'\e[31m' green_on=$'\e[32m' dim_on=$'\e[2m' off=$'\e[0m'
fi

# The superuser, whose name the attacks need when PGUSER is somebody else.
export DBA=${DBA:-$PGUSER}

bold()
{
	printf '%s%s%s\n' "$bold_on" "$*" "$off"
}

dim()
{
	printf '%s%s%s\n' "$dim_on" "$*" "$off"
}

good()
{
	printf '%s%s%s\n' "$green_on" "$*" "$off"
}

bad()
{
	printf '%s%s%s\n' "$red_on" "$*" "$off"
}

chapter()
{
	printf '\n'
	bold "== $* =="
}

say()
{
	printf '\n'
	fold -s -w 100 <<<"$*" | sed 's/ *$//'
}

indent()
{
	sed -e 's/^/    /; s/ *$//' | sed -e '${/^$/d}'
}

# SQL as it is sent, without its result.
shown()
{
	sed "s/^/  ${dim_on}$1>${off} /; s/\t/    /g"
}

# Runs the SQL on stdin as a role and prints both; a failure ends the demo.
as()
{
	local role=$1 sql
	sql=$(cat)
	printf '\n'
	shown "$role" <<<"$sql"
	PGUSER=$role psql -X -q -v ON_ERROR_STOP=1 -P footer=off -P null='' <<<"$sql" 2>&1 | indent
}

# One value, as the superuser.
value()
{
	psql -X -qAt -U "$DBA" -v ON_ERROR_STOP=1 -c "$1"
}
