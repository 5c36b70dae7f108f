The same cell circle twice inside an exclusion zone confirms.
The rule about repeated circles never works against a victim.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  X1 obliges W1: EXCLUSION inside park

Course
  18:10 D1 at lane
  18:11 D1 at lane
  18:15 D1 at bench by LBS ± 100 m
  18:20 D1 at bench by LBS ± 100 m

Findings at 18:22
  W1 EXCLUSION on X1 from 18:15, lasting, known 18:20

Alerts
  W1 EXCLUSION on X1 critical, raised 18:15
