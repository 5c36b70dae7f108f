An order that asks for three minutes is broken by four.

Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 36000 s
  X1 obliges W1: EXCLUSION inside park, always, confirmed over 180 s

Course
  12:00 D1 at lane
  12:01 D1 at lane
  12:02 to 12:06 every 60 s D1 at bench

Findings at 12:08
  W1 EXCLUSION on X1 from 12:02, lasting, known 12:05

Alerts
  W1 EXCLUSION on X1 critical, raised 12:02
