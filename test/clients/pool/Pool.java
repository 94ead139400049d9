// One session, tenants by turns, with pgjdbc: see 020_pooling.pl. Arguments: URL, user, tokens of two tenants.
import java.sql.*;

public class Pool
{
	static Connection connection;
	static String[] tokens;

	static String one(String sql) throws SQLException
	{
		try (PreparedStatement statement = connection.prepareStatement(sql); ResultSet rows = statement.executeQuery())
		{
			rows.next();
			return rows.getString(1);
		}
	}

	static void run(String sql) throws SQLException
	{
		try (Statement statement = connection.createStatement())
		{
			statement.execute(sql);
		}
	}

	static void begin(int tenant) throws SQLException
	{
		try (PreparedStatement statement = connection.prepareStatement("SELECT multitenant.authenticate(?)"))
		{
			statement.setString(1, tokens[tenant]);
			statement.execute();
		}
	}

	public static void main(String[] arguments) throws SQLException
	{
		tokens = new String[] { arguments[2], arguments[3] };
		connection = DriverManager.getConnection(arguments[0], arguments[1], "");
		run("SET statement_timeout = '93s'");
		connection.setAutoCommit(false);
		for (int turn = 0; turn < 6; turn++)
		{
			begin(turn % 2);
			System.out.println(one("SELECT note FROM invoice") + " " + one("SHOW statement_timeout"));
			connection.commit();
		}

		begin(0);
		run("SET statement_timeout = '5s'");
		run("SET search_path = evil, public");
		run("PREPARE left_here AS SELECT 1");
		run("CREATE TEMP VIEW invoice AS SELECT 'planted' AS note");
		connection.commit();
		begin(1);
		System.out.println(one("SELECT note FROM invoice") + " " + one("SHOW statement_timeout") + " " + one("SHOW search_path") + " " +
			one("SELECT count(*) FROM pg_prepared_statements WHERE from_sql"));
		connection.commit();

		begin(0);
		run("CREATE TEMP TABLE copy AS SELECT note FROM invoice");
		try
		{
			connection.commit();
			System.out.println("committed");
		}
		catch (SQLException error)
		{
			boolean hasHint = ((org.postgresql.util.PSQLException) error).getServerErrorMessage().getHint() != null;
			System.out.println(error.getSQLState() + (hasHint ? " True" : " False"));
		}
		connection.rollback();
		begin(1);
		System.out.println(one("SELECT note FROM invoice"));
		connection.commit();
		connection.close();
	}
}
