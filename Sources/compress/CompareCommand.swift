internal import ArgumentParser
internal import Compression
internal import Foundation
internal import ModelFiles
internal import Reporting

/// Several runs next to each other, and whether they keep what is asked of them.
struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Show the stages of several runs in one table, with paired statistics; check gates.",
    discussion: """
      Stages are compared token by token on the same text, so small differences show; what the text cannot tell apart is a
      tie and is not ranked. Runs of another text, context, stride or BOS policy are refused.

      Gates are asked of the last stage of each run. Quality has to hold with 95 % confidence; speed is that of medians.
      \(Gate.Subject.allCases.map(\.rawValue).joined(separator: ", ")).

      EXAMPLES
        compress compare Reports/books-int8 Reports/books-int4
        compress compare out --gate max-kld=0.02 --gate min-speedup=1.5 --format junit > gates.xml
        compress compare a b c --html comparison.html

      EXIT CODES
        2 a gate does not hold
      """)

  /// How the comparison is written.
  enum Format: String, ExpressibleByArgument, CaseIterable {
    case table, markdown, json, junit, github
  }

  @Argument(help: "Folders of runs.")
  var runs: [String]

  @OptionGroup var common: CommonArguments

  @Option(help: "Write a page with all tables and pictures to this file.")
  var html: String?

  @Option(help: "table, markdown, json, junit (XML) or github (annotations).")
  var format = Format.table

  @Option(
    help: ArgumentHelp(
      "A limit: max-kld=0.02, min-agreement=95%, max-size=40MB, min-speedup=1.5 …", valueName: "limit"))
  var gate: [String] = []

  @Option(help: "Ask the gates of the stages of this name or number (default: the last of each run).")
  var stage: String?

  @Flag(help: "Replace an existing page.")
  var force = false

  func validate() throws {
    for text in gate where Gate(text) == nil {
      throw ValidationError(
        "--gate '\(text)' must be one of \(Gate.Subject.allCases.map(\.rawValue).joined(separator: ", ")), with a number: max-kld=0.02."
      )
    }
    if format == .junit || format == .github, gate.isEmpty {
      throw ValidationError("--format \(format.rawValue) shows gates: add --gate max-kld=0.02.")
    }
  }

  func run() throws {
    common.apply()
    var comparison = try RunComparison(try StoredRun.readAll(runs))
    try comparison.check(gate.compactMap { Gate($0) }, stage: stage)
    if let html {
      try OutputPlace.check(file: html, inputs: runs, force: force)
      // One run alone has a page of its own.
      let page =
        comparison.runs.count == 1 && gate.isEmpty
        ? HTMLReport.text(comparison.runs[0].report) : HTMLReport.text(comparison)
      try AtomicFile.write(page, to: html)
    }
    switch format {
    case .table: Terminal.output(Terminal.printable(comparison.text(width: Terminal.width)))
    case .markdown: Terminal.output(Terminal.printable(comparison.markdown))
    case .json: Terminal.output(comparison.json.text(sortedKeys: true, indent: 2) + "\n")
    case .junit: Terminal.output(comparison.junit)
    case .github: Terminal.output(Terminal.printable(comparison.annotations))
    }
    if let failure = comparison.failure {
      throw JobError(.gate, "a gate does not hold: \(failure)")
    }
  }
}
