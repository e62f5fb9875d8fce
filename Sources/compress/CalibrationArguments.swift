internal import ArgumentParser
internal import Passes

/// What passes observe the model on: shared by the commands that apply passes.
struct CalibrationArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Text to observe the model on: a file (.txt, .jsonl; .csv, .tsv for encoders), a folder of them, or 'self' for text that the model writes (default: the text shipped with the program).",
      valueName: "file|dir|self"))
  var calibration: String?

  @Option(help: "The most tokens of calibration text to use, an eighth of them held out (default: 32768).")
  var calibrationTokens: Int?

  @Flag(help: "Let the calibration text share passages with the evaluation text.")
  var allowOverlap = false

  func validate() throws {
    if let calibrationTokens, calibrationTokens < 2 {
      throw ValidationError("--calibration-tokens must be at least 2.")
    }
  }

  /// `plan` with what the command line says on top.
  func applied(to plan: CalibrationPlan) -> CalibrationPlan {
    var plan = plan
    if let calibration { plan.text = calibration }
    if let calibrationTokens { plan.tokens = calibrationTokens }
    if allowOverlap { plan.allowOverlap = true }
    return plan
  }
}
