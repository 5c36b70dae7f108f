One position inside an exclusion zone alerts, and the second makes it a finding.
The alert is the same: its first position raised somebody a minute earlier.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  X1 obliges W1: EXCLUSION inside park

Course
  18:10 D1 at lane
  18:11 D1 at lane
  18:12 D1 at bench
  18:13 D1 at bench

Findings at 18:14
  W1 EXCLUSION on X1 from 18:12, lasting, known 18:13

Alerts
  W1 EXCLUSION on X1 critical, raised 18:12
