package MtWire;

# The frontend/backend protocol as far as tests need it: Bind and Execute apart, a function called without a statement.
use strict;
use warnings;
use Exporter qw(import);
use IO::Socket::UNIX;

our @EXPORT = qw(message query parse bind_to execute synchronize wire talk);

sub message { my ($type, $text) = @_; return $type . pack('N', 4 + length $text) . $text }
sub query { my ($sql) = @_; return message('Q', "$sql\0") }
sub parse { my ($name, $sql) = @_; return message('P', "$name\0$sql\0" . pack('n', 0)) }
sub bind_to { my ($portal, $name) = @_; return message('B', "$portal\0$name\0" . pack('nnn', 0, 0, 0)) }
sub execute { my ($portal, $rows) = @_; return message('E', "$portal\0" . pack('N', $rows // 0)) }
sub synchronize { return message('S', '') }

sub take
{
	my ($socket, $length) = @_;
	my $text = '';
	while (length $text < $length)
	{
		sysread($socket, $text, $length - length $text, length $text) or die "the server has gone\n";
	}
	return $text;
}

# What comes back until the server is ready: rows and results of functions by their secrets, SQLSTATEs; of writes without
# rows, how many.
sub answer
{
	my ($socket) = @_;
	my @seen;
	while (1)
	{
		my ($type, $length) = unpack('aN', take($socket, 5));
		my $text = take($socket, $length - 4);
		my @secrets = $text =~ /(SECRET-\w+)/g;
		push @seen, @secrets ? @secrets : 'row' if $type eq 'D';
		push @seen, @secrets if $type eq 'V';
		push @seen, $text =~ /\0?C(\w{5})\0/ ? $1 : '?????' if $type eq 'E';
		push @seen, $text =~ s/\0//r if $type eq 'C' && $text =~ /^UPDATE/ && !@seen;
		return join(' ', @seen) if $type eq 'Z';
	}
	return;
}

# Sends messages, and says what the server answers.
sub talk
{
	my ($socket, @messages) = @_;
	syswrite($socket, join('', @messages)) or die "the server has gone\n";
	return answer($socket);
}

# A connection of that role to the database app, with these options of the command line.
sub wire
{
	my ($node, $role, $options) = @_;
	my $socket = IO::Socket::UNIX->new($node->host . '/.s.PGSQL.' . $node->port) or die "no connection: $!\n";
	my $text = pack('N', 196608) . join("\0", user => $role, database => 'app', options => $options) . "\0\0";
	syswrite($socket, pack('N', 4 + length $text) . $text);
	answer($socket);
	return $socket;
}

1;
