One position inside an exclusion zone, and the next outside.
It alerts at once and is no finding; it stays as a warning that nothing confirmed.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  X1 obliges W1: EXCLUSION inside park

Course
  18:10 D1 at lane
  18:11 D1 at lane
  18:12 D1 at bench
  18:13 D1 at lane
  18:14 D1 at lane

Findings at 18:15
  none

Alerts
  W1 EXCLUSION on X1 warning, 0 findings, raised 18:12
