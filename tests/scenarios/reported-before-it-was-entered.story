Reports come before the tag's fitting was entered.
They wait in quarantine and are judged as if they had been welcome.
Ready 11:30

Orders
  tag D1 on W1 from 13:00 every 36000 s
  X1 obliges W1: EXCLUSION inside park, always

Course
  12:00 D1 at bench
  12:01 D1 at bench
  12:10 entered: tag D1 on W1 from 11:00 every 36000 s
  12:11 clock

Findings at 12:30
  W1 EXCLUSION on X1 from 12:00 to 12:16, known 12:01

Alerts
  W1 EXCLUSION on X1 critical, raised 12:10
