package growth

// Cases are all cases, in the order of the table.
func Cases() []Case {
	return []Case{
		{"writer message, all workspaces wait for their hosts", 1_000, 10_000, 1.5, func(size int) (func(), error) { return queue(size, false) }},
		{"writer message, one workspace of many may write", 1_000, 10_000, 1.5, func(size int) (func(), error) { return queue(size, true) }},
	}
}
