# Verification of one token by algorithm, beside OpenSSL alone. Variable: dir.
set terminal svg size 800,450 font "Helvetica,13" background rgb "white"
set output dir."/tokens.svg"
set title "Verifying one token: microseconds, logarithmic"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.85 noborder
set logscale y
set yrange [0.3:200]
set border 3
set ytics nomirror
set xtics nomirror scale 0
set grid ytics lc rgb "#dddddd" lt 1 lw 0.5
set key outside bottom center horizontal
set boxwidth 0.9
plot dir."/plot_tokens.dat" using 2:xtic(1) lc rgb "#999999" title "OpenSSL alone", \
	"" using 3 lc rgb "#56b4e9" title "signature", "" using 4 lc rgb "#d1007a" title "whole token: header, signature, claims", \
	for [c=2:4] "" using ($0 + (c-3)*0.25):c:(sprintf("%.2f", column(c))) with labels offset 0,0.6 font ",10" notitle
