An order that asks for three fixes is not broken by two.

Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 36000 s
  X1 obliges W1: EXCLUSION inside park, always, confirmed by 3 points

Course
  12:00 D1 at lane
  12:01 D1 at lane
  12:02 D1 at bench
  12:03 D1 at bench
  12:04 D1 at lane
  12:05 D1 at lane

Findings at 12:10
  none

Alerts
  W1 EXCLUSION on X1 warning, 0 findings, raised 12:02
