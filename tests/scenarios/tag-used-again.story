A tag goes from one person to another.
Positions belong to whom the tag was on; nothing carries over.
Ready 07:00

Orders
  tag D1 on W1 from 08:00 to 12:00 every 36000 s
  tag D1 on W2 from 13:00 every 36000 s
  X1 obliges W1..W2: EXCLUSION inside park, always

Course
  11:00 D1 at bench
  11:01 D1 at bench
  12:30 D1 at bench
  13:30 D1 at bench
  13:31 D1 at bench

Findings at 13:35
  W1 EXCLUSION on X1 from 11:00 to 11:16, known 11:01
  W2 EXCLUSION on X1 from 13:30, lasting, known 13:31

Alerts
  W1 EXCLUSION on X1 critical, raised 11:00
  W2 EXCLUSION on X1 critical, raised 13:30
