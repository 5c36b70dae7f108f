The case of a tag is opened.

Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 36000 s

Course
  13:00 D1 CASE_TAMPER

Findings at 13:10
  W1 TAMPER CASE_TAMPER from 13:00, lasting

Alerts
  W1 TAMPER serious, raised 13:00
