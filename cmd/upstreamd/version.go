package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/upstreamd/upstreamd/internal/app"
)

func newVersion() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := app.BuildVersion()
			var err error
			switch output {
			case "":
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "upstreamd %s (%s, %s)\n", v.Version, v.Go, v.Platform)
			case "json":
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(v)
			default:
				err = fmt.Errorf("output %q: must be json, or left out", output)
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "`form` of the answer: json")
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}
