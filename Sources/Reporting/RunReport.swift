public import Evaluation
public import ModelFiles

/// What it takes to do a run again, and on what it was done.
public struct RunContext: Sendable, Equatable {
  /// The model's name.
  public var model: String
  /// SHA-256 of each of the source's files: name → hash.
  public var source: [String: String]
  /// The version of `compress`.
  public var toolVersion: String
  /// The command line that does the same: program first, unquoted.
  public var command: [String]
  /// The number of threads.
  public var threads: Int
  /// The seed of everything random.
  public var seed: Int
  /// The machine.
  public var machine: Machine

  /// A context of these parts.
  public init(
    model: String, source: [String: String], toolVersion: String, command: [String], threads: Int, seed: Int,
    machine: Machine
  ) {
    self.model = model
    self.source = source
    self.toolVersion = toolVersion
    self.command = command
    self.threads = threads
    self.seed = seed
    self.machine = machine
  }

  /// The command line, quoted for a POSIX shell.
  public var commandLine: String { command.map(RunContext.quote).joined(separator: " ") }

  private static func quote(_ word: String) -> String {
    let plain = word.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        || "-_./=:,+@%".utf8.contains(byte)
    }
    guard !plain || word.isEmpty else { return word }
    return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }
}

/// A whole run: its stages, and when it was.
public struct RunReport: Sendable, Equatable {
  /// When the run began, in UTC: "2026-11-24T02:30:00Z". The only date in any report.
  public var date: String
  /// How long it took, in seconds.
  public var seconds: Double
  /// The name of the recipe: "int4".
  public var recipeName: String
  /// The resolved recipe.
  public var recipe: JSONValue
  /// What it takes to do it again.
  public var run: RunContext
  /// The stages; the baseline first.
  public var stages: [StageReport]
  /// Pairs of stages on the same tokens; places are those in ``stages``.
  public var comparisons: [StageComparison]
  /// The stage that was not finished; nil when all were.
  public var failure: StageFailure?
  /// Remarks on the whole run.
  public var notes: [String]

  /// A report of these parts.
  public init(
    date: String, seconds: Double, recipeName: String, recipe: JSONValue, run: RunContext,
    stages: [StageReport], comparisons: [StageComparison] = [], failure: StageFailure? = nil,
    notes: [String] = []
  ) {
    self.date = date
    self.seconds = seconds
    self.recipeName = recipeName
    self.recipe = recipe
    self.run = run
    self.stages = stages
    self.comparisons = comparisons
    self.failure = failure
    self.notes = notes
  }
}
