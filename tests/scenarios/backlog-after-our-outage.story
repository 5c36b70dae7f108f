After our outage a tag brings what it recorded, and a violation is found late.
known_at is on the line of the facts; the alert says how late it is.
Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 60 s
  X1 obliges W1: EXCLUSION inside park, always

Course
  11:30 to 12:00 every 60 s D1 at street
  12:00:30 down until 14:00
  12:30 D1 at bench, received 14:01
  12:31 D1 at bench, received 14:01
  12:40 to 14:00 every 5 min D1 at street, received 14:01

Findings at 14:05
  W1 EXCLUSION on X1 from 12:30 to 12:40, known 12:31

Alerts
  W1 EXCLUSION on X1 critical, raised 14:01
