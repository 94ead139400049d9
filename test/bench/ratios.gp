# Ratios to V0 by workload and variant, one panel for each way of sending. Variables: dir, limit.
set terminal svg size 1100,1250 noenhanced font "Helvetica,13" background rgb "white"
set output dir."/ratios.svg"
set style line 1 lc rgb "#999999" pt 4 ps 0.7 lw 1.5	# control
set style line 2 lc rgb "#56b4e9" pt 8 ps 0.8 lw 1.5	# hooks_absent
set style line 3 lc rgb "#0072b2" pt 9 ps 0.8 lw 1.5	# hooks_active
set style line 4 lc rgb "#e69f00" pt 6 ps 0.8 lw 1.5	# current_setting
set style line 5 lc rgb "#b58900" pt 12 ps 0.9 lw 1.5	# select
set style line 6 lc rgb "#d1007a" pt 7 ps 1.0 lw 2.5	# multitenant
set style line 7 lc rgb "#7a00a8" pt 5 ps 0.8 lw 2	# session context, new HS256 token
set style line 8 lc rgb "#00856a" pt 13 ps 1.0 lw 2	# bound role, new EdDSA token

set key outside right top samplen 1 spacing 1.2
set border 3
set ytics nomirror 0.1
set xtics nomirror scale 0
set grid ytics lc rgb "#dddddd" lt 1 lw 0.5
set yrange [0.85:limit+0.08]
set ylabel "wall time / V0"
set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead lc rgb "black" lw 1 front

set multiplot layout 3,1 title "Isolation against a hand-written tenant_id = '...' on a server without the library\nmedian and quartiles of the ratios within rounds; numbers: beyond the scale" font ",15"
do for [panel in "simple prepared transactions"] {
	data = dir."/plot_".panel.".dat"
	load dir."/plot_".panel.".gp"
	if (groups > 0) {
		set xrange [-0.5:groups-0.5]
		do for [i=1:groups-1] { set arrow 10+i from first i-0.5, graph 0 to first i-0.5, graph 1 nohead lc rgb "#eeeeee" back }
		if (panel eq "transactions") {
			set bmargin 4
			set title "BEGIN, context, point query, COMMIT (V0: without context)"
		} else {
			set title (panel eq "simple" ? "simple protocol" : "prepared statements")
		}
		plot for [i=1:|style|] data index i-1 using 1:2:3:4 with yerrorbars ls style[i] title name[i], \
			for [i=1:|style|] data index i-1 using 1:(limit+0.04):5 with labels font ",11" notitle
		do for [i=1:groups-1] { unset arrow 10+i }
	}
}
unset multiplot
