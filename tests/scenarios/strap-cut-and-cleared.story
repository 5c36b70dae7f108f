A strap is cut and cleared in two minutes.
A murder followed a rule that ignored tampers which cleared quickly: the alert stays.
Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 36000 s

Course
  13:00 D1 STRAP_TAMPER
  13:02 D1 STRAP_CLEAR

Findings at 13:10
  W1 TAMPER STRAP_TAMPER from 13:00 to 13:02

Alerts
  W1 TAMPER critical, raised 13:00
