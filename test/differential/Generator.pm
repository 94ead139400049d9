# Statements over the world of world.sql, the same ones for the same seed. For test/differential/run.
#
#	my $g = Generator->new(version => 15);
#	my ($sql, $is_ordered) = $g->read;
#	my $sql = $g->write;
#
# What each statement says must follow from the tenant's rows alone, so what does not is left out here, never in the
# comparison:
#	- order where it is not total; values that a choice among equal rows decides (LIMIT, DISTINCT ON, row_number());
#	- numeric values of one size and two scales (all have two decimals), floating point, clocks, ctid, tableoid;
#	- errors that a condition raises or not depending on which is looked at first: conditions raise none;
#	- which of several new rows with one key ON CONFLICT lets in;
#	- rows that are written twice, keys that collide for a moment, two writes of one table in one statement;
#	- volatile functions that read what the statement is about to write;
#	- constants in grouping sets: below UNION, PostgreSQL 15 returns them for NULL in some plans and not in others;
#	- what must differ: another tenant's id in the tenant column, writes of rows without a tenant.
# Types: i int, l bigint, t text, n numeric(.,2), d date, s timestamp, b boolean, j jsonb, a text[], v tsvector, u uuid.
package Generator;

use strict;
use warnings;

# name => columns; in front of the colon its flags: k the key is unique, w may be written, m may be merged into, o rows
# of nobody (written only where the tenant column is not null), c has children (ONLY), r rows may be locked.
my %tables = (
	customer => 'kwmr:tenant_id u,id i,parent i,name t,mail t,rating i,born d,tags a,extra j,search v',
	orders => 'kwmr:tenant_id u,id i,customer_id i,status t,placed s,total n,gross n,note t',
	line => 'kwmr:tenant_id u,id i,order_id i,article t,amount i,price n',
	event => 'kwcr:tenant_id i,id i,customer_id i,happened s,payload j,name t',
	event_detail => 'kwr:tenant_id i,id i,customer_id i,happened s,payload j,name t,detail t,weight n',
	document => 'kwmr:tenant_id t,id i,title t,body v,kind t,size i',
	metric => 'kwr:tenant_id l,id i,day d,name t,value n,extra j',
	journal => 'kwmr:tenant_id u,id i,day d,what t,amount i',
	file => 'kwmr:tenant_id t,id i,path t,size i,data j',
	trail => ':tenant_id u,op t,rows i',
	template => 'wo:tenant_id u,id i,title t,size i',
	country => 'k:id i,code t,name t,population i',
	change => ':editor u,id i,what t');
my %views = (
	overview => 'k:tenant_id u,id i,customer_id i,total n,name t,lines i',
	rated => 'k:id i,rating i,name t,born d,extra j',
	of_owner => 'k:id i,size i,path t,data j',
	open_orders => 'kw:tenant_id u,id i,customer_id i,status t,total n,note t',
	sized => 'kw:tenant_id t,id i,size i,path t',
	line_1 => 'k:tenant_id u,id i,order_id i,article t,amount i,price n',
	line_rest => 'k:tenant_id u,id i,order_id i,article t,amount i,price n',
	metric_rest_late => 'k:tenant_id l,id i,day d,name t,value n,extra j',
	document_1 => 'k:tenant_id t,id i,title t,body v,kind t,size i',
	journal_2 => 'k:tenant_id u,id i,day d,what t,amount i');
# Functions that return rows, with one int argument; v: volatile.
my %functions = (
	orders_of => ':id i,status t,total n', lines_above => ':id i,article t,price n', metrics_since => ':id i,name t,value n',
	notes_by_owner => ':id i,note t', titles_by_owner => ':id i,title t', two_steps => 'v:id i,name t', atomic => ':id i,path t');
my %type_names = (i => 'int', l => 'bigint', t => 'text', n => 'numeric', d => 'date', s => 'timestamp', b => 'boolean', j => 'jsonb',
	a => 'text[]', v => 'tsvector', u => 'uuid');
my %accessors = (u => [ 'current_tenant()', 'current_tenant_or_null()' ], l => ['current_tenant_number()'], i => ['current_tenant_int4()'], t => ['current_tenant_slug()']);
my @uuids = map { "'00000000-0000-0000-0000-00000000000$_'::uuid" } qw(a b c);

sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }
sub between { my ($low, $high) = @_; return $low + int rand($high - $low + 1) }

sub relation
{
	my ($name, $definition) = @_;
	my ($flags, $columns) = split /:/, $definition, 2;
	return { name => $name, flags => $flags, columns => [ map { my ($n, $t) = split / /; { name => $n, type => $t } } split /,/, $columns ] };
}

sub new
{
	my ($class, %options) = @_;
	my $self = bless { version => 15, %options, aliases => 0, ctes => [], parameter => undef }, $class;
	$self->{tables} = { map { $_ => relation("shop.$_", $tables{$_}) } keys %tables };
	$self->{relations} = [ map({ relation("shop.$_", $tables{$_}) } sort keys %tables), map { relation("shop.$_", $views{$_}) } sort keys %views ];
	$self->{functions} = [ map { relation("shop.$_", $functions{$_}) } sort keys %functions ];
	return $self;
}

sub alias { my ($self, $prefix) = @_; return $prefix . ++$self->{aliases} }

# ---- values ----
sub literal
{
	my ($self, $type) = @_;
	return 'NULL::' . $type_names{$type} if chance(0.03);
	return between(0, 24) if $type eq 'i';
	return between(1, 3) . '::bigint' if $type eq 'l';
	return "'" . pick('name ' . between(0, 8), 'note ' . between(0, 5), 'article ' . between(0, 9), 'k' . between(0, 4), 'tag' . between(0, 5), pick(qw(open paid sent))) . "'::text" if $type eq 't';
	return between(0, 40) . pick('.00', '.25', '.50', '.75') . '::numeric' if $type eq 'n';
	return sprintf("DATE '2024-%02d-%02d'", between(1, 3), between(1, 28)) if $type eq 'd';
	return sprintf("TIMESTAMP '2024-%02d-%02d'", between(1, 3), between(1, 28)) if $type eq 's';
	return pick('true', 'false') if $type eq 'b';
	return sprintf('\'{"n": %d, "k": "k%d"}\'::jsonb', between(0, 9), between(0, 4)) if $type eq 'j';
	return "ARRAY['tag" . between(0, 5) . "', 'tag" . between(0, 5) . "']" if $type eq 'a';
	return "to_tsvector('simple', 'word" . between(0, 5) . ' term' . between(0, 3) . "')" if $type eq 'v';
	return pick(@uuids);
}

# What applications say that know of their tenant.
sub accessor
{
	my ($self, $type) = @_;
	return $accessors{$type} ? 'multitenant.' . pick(@{ $accessors{$type} }) : $self->literal($type);
}

sub column
{
	my ($self, $type, $scope) = @_;
	my @found = grep { $_->{type} eq $type } @$scope;
	return @found ? pick(@found)->{sql} : undef;
}

# An expression of a type over the columns of a scope. It raises no error, whatever the row.
sub value
{
	my ($self, $type, $scope, $depth) = @_;
	my $column = $self->column($type, $scope);
	return $column if defined $column && chance($depth <= 0 ? 0.7 : 0.5);
	return $self->{parameter}{$type} if defined $self->{parameter} && defined $self->{parameter}{$type} && chance(0.35);
	return chance(0.1) ? $self->accessor($type) : $self->literal($type) if $depth <= 0;
	my $v = sub { return $self->value($_[0], $scope, $depth - 1) };
	return pick(
		sub { return '(CASE WHEN ' . $self->condition($scope, $depth - 1) . ' THEN ' . $v->($type) . ' ELSE ' . $v->($type) . ' END)' },
		sub { return 'coalesce(' . $v->($type) . ', ' . $self->literal($type) . ')' },
		sub { return $self->scalar_query($type, $scope, $depth - 1) },
		sub { return $self->composed($type, $v) },
		sub { return $self->composed($type, $v) },
		sub { return $self->composed($type, $v) },
		sub { return $column // $self->literal($type) })->();
}

sub composed
{
	my ($self, $type, $v) = @_;
	return pick(
		sub { return '(' . $v->('i') . ' + ' . $v->('i') . ')' }, sub { return '(' . $v->('i') . ' - ' . $v->('i') . ')' },
		sub { return 'length(' . $v->('t') . ')' }, sub { return '(' . $v->('i') . ' % ' . between(2, 7) . ')' }, sub { return 'abs(' . $v->('i') . ')' },
		sub { return 'greatest(' . $v->('i') . ', ' . $v->('i') . ')' }, sub { return 'coalesce(cardinality(' . $v->('a') . '), 0)' },
		sub { my $j = $v->('j'); return "(CASE WHEN jsonb_typeof($j->'n') = 'number' THEN ($j->>'n')::int END)" },
		sub { return 'extract(day from ' . $v->('d') . ')::int' }, sub { return 'multitenant.current_tenant_int4()' })->() if $type eq 'i';
	return pick(
		sub { return 'upper(' . $v->('t') . ')' }, sub { return 'left(' . $v->('t') . ' || ' . $v->('t') . ', 30)' }, sub { return 'substr(' . $v->('t') . ', 2, 6)' },
		sub { return '(' . $v->('i') . ')::text' }, sub { return '(' . $v->('j') . "->>'k')" }, sub { return 'left(md5(' . $v->('t') . '), 6)' },
		sub { return "array_to_string(" . $v->('a') . ", '+')" }, sub { return 'shop.label_of(' . $v->('i') . ')' },
		sub { return 'to_char(' . $v->('d') . ", 'YYYY-MM')" }, sub { return "replace(" . $v->('t') . ", ' ', '_')" },
		sub { return 'multitenant.current_tenant_slug()' })->() if $type eq 't';
	return pick(
		sub { return '(' . $v->('n') . ' + ' . $v->('n') . ')' }, sub { return '(' . $v->('n') . ' * ' . between(2, 4) . ')' },
		sub { return '(' . $v->('i') . ')::numeric(14, 2)' }, sub { return 'round(' . $v->('n') . ' / ' . between(2, 7) . ', 2)' },
		sub { return 'shop.total_of(' . $v->('i') . ')' })->() if $type eq 'n';
	return pick(sub { return '(' . $v->('d') . ' + ' . $v->('i') . ' % 100)' }, sub { return '(' . $v->('s') . ')::date' })->() if $type eq 'd';
	return pick(sub { return '(' . $v->('s') . " + interval '1 day' * (" . $v->('i') . ' % 10))' }, sub { return "date_trunc('month', " . $v->('s') . ')' })->() if $type eq 's';
	return 'jsonb_build_object(' . pick("'n', " . $v->('i'), "'k', " . $v->('t'), "'n', " . $v->('i') . ", 'k', " . $v->('t')) . ')' if $type eq 'j';
	return 'string_to_array(' . $v->('t') . ", ' ')" if $type eq 'a';
	return "to_tsvector('simple', " . $v->('t') . ')' if $type eq 'v';
	return '(' . $v->('i') . ')::bigint' if $type eq 'l';
	return 'coalesce(' . $v->('u') . ', multitenant.current_tenant())' if $type eq 'u';
	return '(' . $v->('i') . ' < ' . $v->('i') . ')';
}

# A subquery of one value.
sub scalar_query
{
	my ($self, $type, $outer, $depth) = @_;
	my ($from, $inner) = $self->from($depth - 1, $outer, chance(0.8) ? 1 : 2);
	my $where = ' WHERE ' . $self->condition([ @$inner, @$outer ], $depth - 1);
	my $link = $self->link($inner, $outer);
	$where = " WHERE $link" if defined $link && chance(0.6);
	my $argument = $self->value($type, $inner, 0);
	# aggregates of outer columns belong to the outer query
	return '(SELECT ' . $self->aggregate($type, $inner) . " FROM $from$where)" if chance(0.6) && $type =~ /[intdsb]/ && @$inner;
	return "(SELECT $argument FROM $from$where ORDER BY 1 LIMIT 1)" if $type ne 'v';
	return $self->literal($type);
}

sub aggregate
{
	my ($self, $type, $scope) = @_;
	my $v = sub { return $self->value($_[0], [ grep { !$_->{is_outer} } @$scope ], 0) };
	my $filter = chance(0.15) ? ' FILTER (WHERE ' . $self->comparison($scope, 0) . ')' : '';
	return pick("count(*)$filter", 'count(' . $v->(pick(qw(i t n j))) . ")$filter", 'count(DISTINCT ' . $v->(pick(qw(i t n))) . ")$filter") . '::int' if $type eq 'i' && chance(0.5);
	return '(' . pick('sum', 'max', 'min') . '(' . $v->('i') . ")$filter % 1000)::int" if $type eq 'i';
	my $element = $v->($type eq 'j' ? pick(qw(i t d)) : 't');
	return "left(string_agg($element, ',' ORDER BY $element)$filter, 60)" if $type eq 't' && chance(0.4);
	return pick('min', 'max') . '(' . $v->('t') . ")$filter" if $type eq 't';
	return 'round(' . pick('sum', 'avg', 'max', 'min') . '(' . $v->('n') . ")$filter, 2)" if $type eq 'n';
	return pick('min', 'max') . '(' . $v->($type) . ")$filter" if $type =~ /[dsl]/;
	return pick('bool_and', 'bool_or') . '(' . $self->comparison([ grep { !$_->{is_outer} } @$scope ], 0) . ")$filter" if $type eq 'b';
	return "jsonb_agg($element ORDER BY $element)$filter" if $type eq 'j';
	return "array_agg($element ORDER BY $element)$filter";
}

# ---- conditions ----
# An equality of keys of two scopes, or nothing.
sub link
{
	my ($self, $left, $right) = @_;
	my $keys = qr/\.(?:id|customer_id|order_id|parent|c1)$/;
	my @l = grep { $_->{type} eq 'i' && $_->{sql} =~ $keys } @$left;
	my @r = grep { $_->{type} eq 'i' && $_->{sql} =~ $keys } @$right;
	@l = grep { $_->{type} eq 'i' } @$left if !@l;
	@r = grep { $_->{type} eq 'i' } @$right if !@r;
	return pick(@l)->{sql} . ' = ' . pick(@r)->{sql} if @l && @r;
	my $type = pick('t', 'u');
	my ($a, $b) = ($self->column($type, $left), $self->column($type, $right));
	return defined $a && defined $b ? "$a = $b" : undef;
}

# Comparisons, leakproof and not, of two different things.
sub comparison
{
	my ($self, $scope, $depth) = @_;
	my $v = sub { return $self->value($_[0], $scope, $depth) };
	my @types = map { $_->{type} } @$scope;
	my $type = @types && chance(0.85) ? pick(@types) : pick(qw(i t n));
	my $pair = sub {
		my ($operator) = @_;
		my ($left, $right) = ($v->($type), $v->($type));
		$left = $self->column($type, $scope) // $left if $left !~ /\./;
		return "$left $operator " . ($left eq $right || chance(0.3) ? $self->literal($type) : $right);
	};
	my $operator = pick('=', '<', '>', '<=', '>=', '<>');
	return pick((sub { return $pair->($operator) }) x 3, sub { return $v->('i') . ' BETWEEN ' . between(0, 9) . ' AND ' . between(10, 60) },
		sub { return $v->('i') . ' = ANY (ARRAY[' . join(', ', map { between(0, 24) } 1 .. between(2, 9)) . '])' },
		sub { return $v->('i') . ' IN (' . join(', ', map { $self->literal('i') } 1 .. 3) . ')' },
		sub { return $v->('i') . ' % ' . between(2, 4) . ' > 0' },
		sub { return $pair->('IS NOT DISTINCT FROM') })->() if $type eq 'i';
	return pick((sub { return $pair->($operator) }) x 2, sub { return $v->('t') . ' LIKE ' . pick("'%1%'", "'n%'", "'note%'", "'article _'", "'%e%'") },
		sub { return $v->('t') . ' ILIKE ' . pick("'%NA%'", "'Ar%'", "'%3'") }, sub { return $v->('t') . ' ~ ' . pick("'[0-4]\$'", "'^[an]'", "'e.*[135]'") },
		sub { return $v->('t') . ' NOT LIKE ' . pick("'%7%'", "'k%'") }, sub { return 'lower(' . $v->('t') . ') = ' . $v->('t') },
		sub { return "starts_with(" . $v->('t') . ', ' . pick("'n'", "'article'") . ')' },
		sub { return $v->('t') . ' IS ' . pick('', 'NOT ') . 'NULL' })->() if $type eq 't';
	return $pair->($operator) if $type =~ /[ndsl]/;
	return $pair->(pick('=', '=', '<>', 'IS DISTINCT FROM')) if $type eq 'u';
	return pick(sub { return $v->('j') . " ? 'k'" }, sub { return $v->('j') . ' @> ' . sprintf('\'{"k": "k%d"}\'', between(0, 4)) },
		sub { return '(' . $v->('j') . "->>'k') $operator " . $v->('t') }, sub { return $pair->('<>') })->() if $type eq 'j';
	return pick(sub { return $v->('a') . ' && ' . $v->('a') }, sub { return $v->('a') . " @> ARRAY['tag" . between(0, 5) . "']" },
		sub { return $v->('t') . ' = ANY (' . $v->('a') . ')' })->() if $type eq 'a';
	return $v->('v') . " @@ to_tsquery('simple', '" . pick('word1 | term2', 'word3 & term1', 'word2', '!word4', 'name | article') . "')" if $type eq 'v';
	return $v->('b');
}

sub condition
{
	my ($self, $scope, $depth) = @_;
	return $self->comparison($scope, 0) if $depth <= 0;
	my $c = sub { return $self->condition($scope, $depth - 1) };
	return pick(
		(sub { return $self->comparison($scope, $depth - 1) }) x 6,
		sub { return '(' . $c->() . ' AND ' . $c->() . ')' },
		(sub { return '(' . $c->() . ' OR ' . $c->() . ')' }) x 3,
		sub { return 'NOT (' . $c->() . ')' },
		sub { return '(' . $c->() . ') IS NOT ' . pick('TRUE', 'FALSE', 'NULL') },
		(sub { return $self->existence($scope, $depth - 1) }) x 3,
		(sub { my $type = pick(qw(i i t n d)); return $self->value($type, $scope, 0) . pick(' IN ', ' IN ', ' NOT IN ', ' > ALL ', ' = ANY ', ' < ANY ') . '(' . $self->query($depth - 1, [$type], $scope) . ')' }) x 2,
		sub { return 'shop.is_known(' . $self->value('i', $scope, 0) . ')' })->();
}

sub existence
{
	my ($self, $outer, $depth) = @_;
	my ($from, $inner) = $self->from($depth - 1, $outer, chance(0.8) ? 1 : 2);
	my $link = $self->link($inner, $outer);
	return pick('EXISTS', 'EXISTS', 'NOT EXISTS') . " (SELECT 1 FROM $from WHERE " . ($link // 'true') .
		(chance(0.5) ? ' AND ' . $self->condition([ @$inner, @$outer ], $depth - 1) : '') . ')';
}

# ---- where rows come from ----
sub columns_of
{
	my ($alias, $relation) = @_;
	return [ map { { sql => "$alias.$_->{name}", type => $_->{type} } } @{ $relation->{columns} } ];
}

sub outer_columns { my ($scope) = @_; return [ map { { %$_, is_outer => 1 } } @$scope ] }

# One item of FROM: its text, its columns, and whether it may refer to those on its left.
sub item
{
	my ($self, $depth, $outer) = @_;
	my $kind = rand;
	if (@{ $self->{ctes} } && chance(0.3))
	{
		my $cte = pick(@{ $self->{ctes} });
		my $alias = $self->alias('w');
		return ("$cte->{name} AS $alias", columns_of($alias, $cte));
	}
	if ($depth > 0 && $kind < 0.2)
	{
		my $types = $self->types(between(1, 3));
		my $alias = $self->alias('q');
		my $lateral = @$outer && chance(0.5);
		my $sql = $self->query($depth - 1, $types, $lateral ? $outer : []);
		return (($lateral ? 'LATERAL ' : '') . "($sql) AS $alias", columns_of($alias, { columns => [ map { { name => 'c' . ($_ + 1), type => $types->[$_] } } 0 .. $#$types ] }));
	}
	if ($kind < 0.3)
	{
		my @functions = grep { !$self->{is_stable} || $_->{flags} !~ /v/ } @{ $self->{functions} };
		my $function = pick(@functions);
		my $alias = $self->alias('f');
		my $argument = @$outer && chance(0.5) ? $self->value('i', $outer, 0) : between(0, 15);
		return ("$function->{name}($argument) AS $alias", columns_of($alias, $function));
	}
	if ($kind < 0.33)
	{
		my $alias = $self->alias('g');
		return ("generate_series(" . between(0, 3) . ', ' . between(4, 12) . ") AS $alias(id)", [ { sql => "$alias.id", type => 'i' } ]);
	}
	if ($kind < 0.36)
	{
		my $alias = $self->alias('x');
		return ('(VALUES ' . join(', ', map { '(' . between(0, 20) . ', ' . $self->literal('t') . ')' } 1 .. between(1, 4)) . ") AS $alias(id, name)",
			[ { sql => "$alias.id", type => 'i' }, { sql => "$alias.name", type => 't' } ]);
	}
	my $relation = pick(@{ $self->{relations} });
	# the one whose constraint says something of the tenant
	($relation) = grep { $_->{name} eq 'shop.change' } @{ $self->{relations} } if chance(0.06);
	# a table that hardly has rows, or a partition that may not be the tenant's, is taken less often
	$relation = pick(@{ $self->{relations} }) if $relation->{name} =~ /trail|line_|document_|metric_/;
	my $alias = $self->alias('a');
	my $sample = $relation->{flags} =~ /[wk]/ && $relation->{name} !~ /overview|rated|owner|open|sized/ && chance(0.02) ? ' TABLESAMPLE ' . pick('system', 'bernoulli') . ' (100)' : '';
	return (($relation->{flags} =~ /c/ && chance(0.2) ? 'ONLY ' : '') . "$relation->{name} AS $alias$sample", columns_of($alias, $relation), $relation);
}

sub from
{
	my ($self, $depth, $outer, $count) = @_;
	$outer = outer_columns($outer);
	$count //= pick(1, 1, 1, 2, 2, 3);
	my ($sql, $scope) = $self->item($depth, $outer);
	foreach (2 .. $count)
	{
		my $join = pick('JOIN', 'JOIN', 'JOIN', 'LEFT JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN', 'CROSS JOIN');
		my ($right, $columns) = $self->item($depth, $join =~ /RIGHT|FULL/ ? $outer : [ @$outer, @$scope ]);
		my $link = $self->link($columns, $scope);
		$join = 'CROSS JOIN' if !defined $link;
		if ($join eq 'CROSS JOIN')
		{
			# everything with everything is for a few rows
			my $alias = $self->alias('y');
			my $some = defined $link && chance(0.7) ? undef : "(SELECT * FROM (SELECT count(*)::int AS id, max(name) AS name FROM shop.customer) $alias)";
			($right, $columns) = ("$some AS $alias", [ { sql => "$alias.id", type => 'i' }, { sql => "$alias.name", type => 't' } ]) if defined $some;
			$sql = defined $some ? "$sql CROSS JOIN $right" : "$sql JOIN $right ON $link";
		}
		else
		{
			my $extra = $join ne 'FULL JOIN' && chance(0.25) ? ' AND ' . $self->condition([ @$columns, @$scope, @$outer ], $depth - 1) : '';
			$sql = "$sql $join $right ON $link$extra";
		}
		$scope = [ @$scope, @$columns ];
	}
	return ($sql, $scope);
}

# ---- queries ----
sub types
{
	my ($self, $count) = @_;
	return [ map { pick(qw(i i i t t t n n d s b j a u l)) } 1 .. $count ];
}

sub where
{
	my ($self, $scope, $depth, $often) = @_;
	return '' if !chance($often // 0.6);
	my $condition = $self->condition($scope, $depth);
	# three conditions at once are hardly ever true
	$condition = "($condition OR " . $self->comparison($scope, 0) . ')' if chance(0.4);
	return " WHERE $condition";
}

sub outputs
{
	my (@values) = @_;
	return join(', ', map { "$values[$_] AS c" . ($_ + 1) } 0 .. $#values);
}

sub query
{
	my ($self, $depth, $types, $outer) = @_;
	$outer //= [];
	my $kind = rand;
	return $self->plain($depth, $types, $outer) if $depth <= 0 || $kind < 0.5;
	return $self->grouped($depth, $types, $outer) if $kind < 0.66;
	return $self->windowed($depth, $types, $outer) if $kind < 0.73;
	return $self->combined($depth, $types, $outer) if $kind < 0.82;
	return $self->chosen($depth, $types, $outer) if $kind < 0.9;
	return $self->ranked($depth, $types) if $kind < 0.92;
	return $self->recursive($depth, $types) if $kind < 0.93;
	return $self->with($depth, $types, $outer);
}

# No types given: those of columns that are there.
sub plain
{
	my ($self, $depth, $types, $outer) = @_;
	my ($from, $inner) = $self->from($depth - 1, $outer);
	my $scope = [ @$inner, @$outer ];
	push @$types, map { pick(@$inner)->{type} } 1 .. between(1, 4) if !@$types;
	my @values = map { $self->value($_, chance(0.8) ? $inner : $scope, $depth - 1) } @$types;
	my $distinct = chance(0.12) && !grep({ /v/ } @$types) ? 'DISTINCT ' : '';
	return "SELECT $distinct" . outputs(@values) . " FROM $from" . $self->where($scope, $depth - 1);
}

sub grouped
{
	my ($self, $depth, $types, $outer) = @_;
	my ($from, $inner) = $self->from($depth - 1, $outer);
	my (@values, @keys);
	foreach my $i (0 .. $#$types)
	{
		my $is_key = chance(0.4) && $types->[$i] !~ /[vb]/ || $types->[$i] =~ /[u]/;
		push @keys, $i + 1 if $is_key;
		push @values, $is_key ? $self->value($types->[$i], $inner, 0) : $self->aggregate($types->[$i], $inner);
		# a key must not be taken for the number of a column
		$values[-1] = "($values[-1])" if $is_key;
	}
	my $are_columns = !grep { $values[ $_ - 1 ] !~ /^\(\w+\.\w+\)$/ } @keys;
	my $group = !@keys ? '' : ' GROUP BY ' . (!$are_columns || chance(0.8) ? join(', ', @keys) : pick('ROLLUP', 'CUBE') . '(' . join(', ', @keys) . ')');
	my $having = chance(0.15) ? ' HAVING ' . pick('count(*) > 1', 'count(*) < 5', 'max(' . $self->value('i', $inner, 0) . ') > ' . between(0, 9)) : '';
	return 'SELECT ' . outputs(@values) . " FROM $from" . $self->where([ @$inner, @$outer ], $depth - 1) . $group . $having;
}

# Only what does not depend on the order of equal rows.
sub windowed
{
	my ($self, $depth, $types, $outer) = @_;
	my ($from, $inner) = $self->from($depth - 1, $outer);
	my $v = sub { return $self->value($_[0], $inner, 0) };
	my @values = map {
		my $over = ' OVER (' . (chance(0.6) ? 'PARTITION BY ' . $v->(pick(qw(i t))) . ' ' : '') . (chance(0.6) ? 'ORDER BY ' . $v->(pick(qw(i t d n))) . pick('', ' DESC', ' NULLS FIRST') : '') . ')';
		!chance(0.6) ? $self->value($_, $inner, $depth - 1)
			: $_ eq 'i' ? pick("rank()$over", "dense_rank()$over", "count(*)$over", 'count(' . $v->('t') . ")$over", '(sum(' . $v->('i') . ")$over % 1000)") . '::int'
			: $_ eq 'n' ? 'round(' . pick('sum', 'max', 'avg') . '(' . $v->('n') . ")$over, 2)"
			: $_ =~ /[tdsl]/ ? pick('min', 'max') . '(' . $v->($_) . ")$over" : $v->($_);
	} @$types;
	return 'SELECT ' . outputs(@values) . " FROM $from" . $self->where([ @$inner, @$outer ], $depth - 1);
}

sub combined
{
	my ($self, $depth, $types, $outer) = @_;
	my $all = grep({ /v/ } @$types) ? 'UNION ALL' : pick('UNION', 'UNION ALL', 'UNION ALL', 'INTERSECT', 'EXCEPT', 'EXCEPT ALL', 'INTERSECT ALL');
	return '(' . $self->query($depth - 1, $types, $outer) . ") $all (" . $self->query($depth - 1, $types, $outer) . ')';
}

# The first ones of a total order.
sub chosen
{
	my ($self, $depth, $types, $outer) = @_;
	my $alias = $self->alias('o');
	my $sql = $self->query($depth - 1, $types, $outer);
	my $order = join(', ', map { $_ . pick('', '', ' DESC', ' NULLS FIRST') } 1 .. @$types);
	return "SELECT * FROM ($sql) $alias ORDER BY $order LIMIT " . between(1, 12) . (chance(0.3) ? ' OFFSET ' . between(0, 3) : '') if chance(0.7);
	my $on = pick(1 .. @$types);
	$order = join(', ', $on, grep { $_ != $on } 1 .. @$types);
	return "SELECT DISTINCT ON ($alias.c$on) * FROM ($sql) $alias ORDER BY $order";
}

# Numbers of rows, where only what is ordered by is returned with them.
sub ranked
{
	my ($self, $depth, $types) = @_;
	my ($from, $inner) = $self->from($depth - 1, []);
	my $i = $self->value('i', $inner, 0);
	my $alias = $self->alias('r');
	my $window = "OVER (ORDER BY $i)";
	return 'SELECT ' . outputs(map { $_ eq 'i' ? pick("$alias.n::int", "$alias.i", "$alias.before::int") : $self->literal($_) } @$types) .
		" FROM (SELECT row_number() $window AS n, $i AS i, lag($i) $window AS before FROM $from) $alias";
}

sub recursive
{
	my ($self, $depth, $types) = @_;
	my $name = $self->alias('tree');
	my $c = $self->alias('a');
	return "WITH RECURSIVE $name(id, level, name) AS (SELECT id, 1, name FROM shop.customer WHERE id <= " . between(1, 6) .
		" UNION SELECT $c.id, $name.level + 1, $c.name FROM shop.customer $c JOIN $name ON $c.parent = $name.id WHERE $name.level < 6) SELECT " .
		outputs(map { $_ eq 'i' ? pick("$name.id", "$name.level") : $_ eq 't' ? "$name.name" : $self->literal($_) } @$types) . " FROM $name";
}

sub with
{
	my ($self, $depth, $types, $outer) = @_;
	my $name = $self->alias('cte');
	my $columns = $self->types(between(1, 3));
	my $sql = $self->query($depth - 1, $columns, []);
	local $self->{ctes} = [ @{ $self->{ctes} }, { name => $name, columns => [ map { { name => 'c' . ($_ + 1), type => $columns->[$_] } } 0 .. $#$columns ] } ];
	my $rest = $self->query($depth - 1, $types, $outer);
	# one WITH for each query
	$rest = "SELECT * FROM ($rest) " . $self->alias('o') if $rest =~ /^WITH /;
	return "WITH $name AS " . pick('', '', 'MATERIALIZED ', 'NOT MATERIALIZED ') . "($sql) $rest";
}

# A statement that reads, and whether its rows come in an order that is total.
sub read
{
	my ($self, $depth) = @_;
	$depth //= pick(1, 2, 2, 3, 3);
	return $self->locking if chance(0.04);
	my $types = chance(0.4) ? [] : $self->types(between(1, 4));
	my $sql = @$types ? $self->query($depth, $types, []) : $self->plain($depth, $types, []);
	return ($sql, 0) if !chance(0.25);
	return ("SELECT * FROM ($sql) sorted ORDER BY " . join(', ', 1 .. @$types), 1);
}

sub locking
{
	my ($self) = @_;
	my $table = $self->writable('r');
	my $columns = columns_of('l', $table);
	return ('SELECT ' . outputs(map { $_->{sql} } @$columns) . " FROM $table->{name} l" . $self->where($columns, 1, 0.7) . ' FOR ' . pick('UPDATE', 'SHARE', 'NO KEY UPDATE', 'KEY SHARE'), 0);
}

# ---- writing ----
sub writable
{
	my ($self, $flag) = @_;
	return pick(grep { $_->{flags} =~ /$flag/ } @{ $self->{relations} });
}

# A value that a column takes without an error.
sub fitting
{
	my ($self, $table, $column, $scope, $depth) = @_;
	my ($name, $type) = @{$column}{qw(name type)};
	return "'" . pick(qw(open paid sent)) . "'" if $name eq 'status';
	return pick(sub { return '(SELECT ' . pick('min', 'max') . '(id) FROM shop.customer)' }, sub { return between(1, 18) })->() if $name eq 'customer_id' && $table->{name} =~ /order/;
	return pick(sub { return '(SELECT ' . pick('min', 'max') . '(id) FROM shop.orders)' }, sub { return 'NULL' }, sub { return between(1, 40) })->() if $name eq 'order_id';
	my $value = $self->value($type, $scope, $depth);
	return "abs($value)" if $name eq 'amount';
	return "coalesce($value, " . ($type eq 't' ? "'none'" : "DATE '2024-01-15'") . ')' if $name eq 'name' || $name eq 'day';
	return "left($value, 30)" if $type eq 't';
	return $value;
}

sub assignable { my ($table) = @_; return grep { $_->{name} !~ /^(?:tenant_id|id|gross)$/ && !($_->{name} eq 'day' && chance(0.7)) } @{ $table->{columns} } }

sub assignments
{
	my ($self, $table, $scope) = @_;
	my @columns = assignable($table);
	my %taken;
	my @set = map { $_->{name} . ' = ' . $self->fitting($table, $_, $scope, 1) } grep { !$taken{ $_->{name} }++ } map { pick(@columns) } 1 .. between(1, 2);
	push @set, 'id = -' . $scope->[1]{sql} if chance(0.03) && $table->{flags} =~ /k/ && $table->{name} !~ /open|sized/;
	push @set, 'tenant_id = ' . $scope->[0]{sql} if chance(0.03);
	return join(', ', @set);
}

sub returning
{
	my ($self, $columns, $often) = @_;
	return '' if !chance($often // 0.5);
	return ' RETURNING ' . outputs(map { $self->value($_, $columns, 1) } @{ $self->types(between(1, 3)) }) if chance(0.5);
	return ' RETURNING ' . outputs(map { $_->{sql} } @$columns);
}

# A statement that writes.
sub write
{
	my ($self) = @_;
	local $self->{is_stable} = 1;
	return pick(map({ sub { return $self->insert } } 1 .. 4), map({ sub { return $self->update } } 1 .. 5), map({ sub { return $self->delete } } 1 .. 3),
		map({ sub { return $self->merge } } 1 .. 3), sub { return $self->with_write }, sub { return $self->with_write })->();
}

sub insert
{
	my ($self, $returning) = @_;
	my $table = $self->writable('w');
	my @columns = (grep({ $_->{name} eq 'id' } @{ $table->{columns} }), grep { chance(0.8) || $_->{name} =~ /^(?:name|status|customer_id|day)$/ } grep { $_->{name} !~ /^(?:tenant_id|id|gross)$/ } @{ $table->{columns} });
	my @names = map { $_->{name} } @columns;
	my $source;
	if (chance(0.5))
	{
		my $base = between(500, 900);
		my $count = between(1, 4);
		$source = 'VALUES ' . join(', ', map {
			my $id = chance(0.15) ? $_ : $base + $_;
			'(' . join(', ', map { $_->{name} eq 'id' ? $id : $self->fitting($table, $_, [], chance(0.2) ? 1 : 0) } @columns) . ')' } 1 .. $count);
	}
	else
	{
		my $from = pick(grep { $_->{flags} =~ /k/ } values_in_order($self->{tables}));
		my $scope = columns_of('z', $from);
		my $shift = chance(0.15) ? 0 : pick(300, 400, 1000);
		$source = 'SELECT ' . join(', ', map { $_->{name} eq 'id' ? "z.id + $shift" : $self->fitting($table, $_, $scope, 1) } @columns) . " FROM $from->{name} z" . $self->where($scope, 1, 0.8);
	}
	if (chance(0.2) && $table->{flags} !~ /o/)
	{
		# the tenant said, as applications do that did it before
		my ($tenant) = grep { $_->{name} eq 'tenant_id' } @{ $table->{columns} };
		my $accessor = defined $tenant ? $self->accessor($tenant->{type}) : undef;
		if (defined $accessor && $source =~ s/^SELECT /SELECT $accessor, /)
		{
			unshift @names, 'tenant_id';
		}
	}
	my $conflict = '';
	if ($table->{flags} =~ /k/ && $table->{name} =~ /customer|orders|line|document|file/ && $table->{name} !~ /open|sized/ && chance(0.4))
	{
		my $scope = [ map { { %$_, sql => "t.$_->{name}" } } @{ $table->{columns} } ];
		my ($set) = assignable($table);
		$conflict = ' ON CONFLICT ' . (chance(0.4) ? 'DO NOTHING' : "(tenant_id, id) DO UPDATE SET $set->{name} = " . $self->fitting($table, $set, [ @$scope, map { { %$_, sql => "excluded.$_->{name}" } } grep { $_->{name} ne 'gross' } @{ $table->{columns} } ], 0) .
			(chance(0.3) ? ' WHERE ' . $self->comparison($scope, 0) : ''));
		# Where the key has more than the id, the first row of an id is inserted, whichever that is.
		$conflict = '' if $source =~ / FROM shop\.(?:event|journal|metric)\w* z/;
	}
	return "INSERT INTO $table->{name} AS t (" . join(', ', @names) . ") $source$conflict" . $self->returning(columns_of('t', $table), $returning);
}

sub values_in_order { my ($hash) = @_; return map { $hash->{$_} } sort keys %$hash }

sub of_somebody { my ($table) = @_; return $table->{flags} =~ /o/ ? ' AND t.tenant_id IS NOT NULL' : '' }

sub target
{
	my ($self, $table) = @_;
	return ($table->{flags} =~ /c/ && chance(0.2) ? 'ONLY ' : '') . "$table->{name} AS t";
}

sub update
{
	my ($self, $returning) = @_;
	my $table = $self->writable('w');
	my $scope = columns_of('t', $table);
	my ($from, $where) = ('', $self->condition($scope, 2));
	if (chance(0.25))
	{
		# one row of the other table for each
		my ($key) = grep { /\.(?:customer_id|order_id|parent|id)$/ } map { $_->{sql} } reverse @$scope;
		my $other = $self->{tables}{ $key =~ /order/ ? 'orders' : $key =~ /customer|parent/ ? 'customer' : pick(qw(customer orders file)) };
		my $columns = columns_of('s', $other);
		$from = " FROM $other->{name} AS s";
		$where = "s.id = $key AND (" . $self->condition([ @$scope, @$columns ], 1) . ')';
		return 'UPDATE ' . $self->target($table) . ' SET ' . $self->assignments($table, [ @$scope, @$columns ]) . "$from WHERE $where" . of_somebody($table) . $self->returning([ @$scope, @$columns ], $returning);
	}
	return 'UPDATE ' . $self->target($table) . ' SET ' . $self->assignments($table, $scope) . " WHERE ($where)" . of_somebody($table) . $self->returning($scope, $returning);
}

sub delete
{
	my ($self, $returning) = @_;
	my $table = $self->writable('w');
	my $scope = columns_of('t', $table);
	my $where = 't.id % ' . between(2, 6) . ' = 1 AND ' . $self->condition($scope, 2);
	my $using = '';
	if (chance(0.25))
	{
		$using = ' USING shop.customer AS s';
		$where .= ' AND s.id = ' . (grep({ $_->{name} eq 'customer_id' } @{ $table->{columns} }) ? 't.customer_id' : 't.id');
	}
	return 'DELETE FROM ' . $self->target($table) . "$using WHERE $where" . of_somebody($table) . $self->returning($scope, $returning);
}

sub merge
{
	my ($self) = @_;
	my $table = $self->writable('m');
	my $target = columns_of('t', $table);
	my $source = pick(grep { $_->{flags} =~ /k/ } values_in_order($self->{tables}));
	my $columns = columns_of('s', $source);
	# rows of the source are matched once, and so are the target's
	my $alias = $self->alias('m');
	my $using = chance(0.5) ? "$source->{name} AS s" : "(SELECT $alias.* FROM $source->{name} $alias" . $self->where(columns_of($alias, $source), 1, 0.8) . ') AS s';
	my $shift = chance(0.5) ? between(1, 12) : 0;
	my $both = [ @$target, @$columns ];
	my $and = sub { return chance(0.5) ? ' AND (' . $self->condition($_[0], 1) . ')' : '' };
	my @clauses;
	push @clauses, 'WHEN MATCHED' . $and->($both) . ' THEN ' . (chance(0.25) ? 'DELETE' : chance(0.15) ? 'DO NOTHING' : 'UPDATE SET ' . join(', ', map { $_->{name} . ' = ' . $self->fitting($table, $_, $both, 1) } pick(grep { $_->{name} ne 'day' } assignable($table)))) if chance(0.8);
	my @new = grep { $_->{name} !~ /^(?:tenant_id|gross)$/ } @{ $table->{columns} };
	push @clauses, 'WHEN NOT MATCHED' . $and->($columns) . ' THEN ' . (chance(0.1) ? 'DO NOTHING' : 'INSERT (' . join(', ', map { $_->{name} } @new) . ') VALUES (' .
		join(', ', map { $_->{name} eq 'id' ? "s.id + $shift" : $self->fitting($table, $_, $columns, 0) } @new) . ')') if !@clauses || chance(0.7);
	push @clauses, 'WHEN NOT MATCHED BY SOURCE' . $and->($target) . ' THEN ' . (chance(0.3) ? 'DELETE' : 'UPDATE SET ' . join(', ', map { $_->{name} . ' = ' . $self->fitting($table, $_, $target, 0) } pick(assignable($table)))) if $self->{version} >= 17 && chance(0.3);
	return "MERGE INTO $table->{name} AS t USING $using ON t.id = s.id + $shift " . join(' ', @clauses) . ($self->{version} >= 17 ? $self->returning($target) : '');
}

sub with_write
{
	my ($self) = @_;
	my $writer = pick(sub { return $self->insert(1) }, sub { return $self->update(1) }, sub { return $self->delete(1) })->();
	return "WITH written AS ($writer) SELECT count(*)::int AS c1, max(written.c1::text) AS c2, (" . $self->scalar_query('i', [], 1) . ') AS c3 FROM written';
}

# ---- what a round makes for itself ----
# Definitions of functions and views in schema gen, which the round's statements use from then on.
sub definitions
{
	my ($self, $count) = @_;
	my @definitions;
	foreach my $n (1 .. $count)
	{
		my $types = $self->types(between(1, 3));
		$types = [ 'i', @$types ];
		my $columns = [ map { { name => 'c' . ($_ + 1), type => $types->[$_] } } 0 .. $#$types ];
		my $is_view = chance(0.3);
		local $self->{parameter} = $is_view ? undef : { i => '$1::int' };
		local $self->{is_stable} = 1;
		my $query = $self->query(2, $types, []);
		my $casts = join(', ', map { "body.c${_}::" . $type_names{ $types->[ $_ - 1 ] } . " AS c$_" } 1 .. @$types);
		my $body = "SELECT $casts FROM ($query) body";
		if ($is_view)
		{
			my $options = pick('WITH (security_invoker = true) ', 'WITH (security_invoker = true, security_barrier = true) ', '');
			push @definitions, { name => "gen.v$n", sql => "CREATE VIEW gen.v$n ${options}AS $body", relation => { name => "gen.v$n", flags => 'g', columns => $columns } };
			next;
		}
		my $returns = 'RETURNS TABLE (' . join(', ', map { "c$_ " . $type_names{ $types->[ $_ - 1 ] } } 1 .. @$types) . ')';
		my $definer = chance(0.2) ? ' SECURITY DEFINER' : '';
		my $text = pick("LANGUAGE sql STABLE AS \$f\$$body\$f\$", "LANGUAGE sql STABLE SET work_mem = '1MB' AS \$f\$$body\$f\$", "LANGUAGE sql STABLE BEGIN ATOMIC $body; END",
			"LANGUAGE plpgsql STABLE AS \$f\$ BEGIN RETURN QUERY $body; END \$f\$", "LANGUAGE plpgsql STABLE AS \$f\$ BEGIN RETURN QUERY EXECUTE \$q\$$body\$q\$ USING \$1; END \$f\$",
			"LANGUAGE plpgsql STABLE AS \$f\$ DECLARE r record; BEGIN FOR r IN $body LOOP " . join(' ', map { "c$_ := r.c$_;" } 1 .. @$types) . " RETURN NEXT; END LOOP; END \$f\$");
		$text =~ s/ STABLE/ STABLE$definer/ if $definer ne '';
		push @definitions, { name => "gen.f$n", sql => "CREATE FUNCTION gen.f$n(int) $returns $text", function => { name => "gen.f$n", flags => '', columns => $columns } };
	}
	return @definitions;
}

sub adopt
{
	my ($self, $definition) = @_;
	push @{ $self->{relations} }, $definition->{relation} if $definition->{relation};
	push @{ $self->{functions} }, $definition->{function} if $definition->{function};
	return;
}

# A statement with parameters $1 (int) and $2 (text), for what is prepared once and executed often.
sub prepared
{
	my ($self) = @_;
	local $self->{parameter} = { i => '$1::int', t => '$2::text' };
	my $is_write = chance(0.2);
	foreach (1 .. 50)
	{
		my ($sql) = $is_write ? $self->write : $self->query(pick(1, 2), $self->types(between(1, 3)), []);
		return ($sql, $is_write) if $sql =~ /\$1/ && $sql =~ /\$2/;
	}
	return ('SELECT a.id, a.name FROM shop.customer a WHERE a.id > $1 OR a.name = $2', 0);
}

1;
