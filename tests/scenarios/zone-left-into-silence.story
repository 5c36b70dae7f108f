Somebody is last seen inside a zone, and then not at all.
Presence holds for the longest gap, then nobody knows.
Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 36000 s
  X1 obliges W1: EXCLUSION inside park, always

Course
  12:02 D1 at bench
  12:03 D1 at bench
  12:30 clock

Findings at 12:30
  W1 EXCLUSION on X1 from 12:02 to 12:18, known 12:03

Alerts
  W1 EXCLUSION on X1 critical, raised 12:02
