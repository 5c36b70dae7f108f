A bus passes through with a single fix inside.
One verdict is no run: an error of one fix recalls nobody to prison.
Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 36000 s
  X1 obliges W1: EXCLUSION inside park, always

Course
  12:00 D1 at lane
  12:01 D1 at lane
  12:02 D1 at bench
  12:03 D1 at lane
  12:04 D1 at lane

Findings at 12:10
  none

Alerts
  W1 EXCLUSION on X1 warning, 0 findings, raised 12:02
