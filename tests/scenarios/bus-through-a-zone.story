A bus passes through an exclusion zone, with two fixes inside.
Two minutes inside are two minutes inside.
Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 36000 s
  X1 obliges W1: EXCLUSION inside park, always

Course
  12:00 D1 at lane
  12:01 D1 at lane
  12:02 D1 at bench
  12:03 D1 at bench
  12:04 D1 at lane
  12:05 D1 at lane

Findings at 12:10
  W1 EXCLUSION on X1 from 12:02 to 12:04, known 12:03

Alerts
  W1 EXCLUSION on X1 critical, raised 12:02
