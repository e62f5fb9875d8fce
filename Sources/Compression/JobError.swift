internal import Evaluation
internal import ModelFiles
internal import Models
internal import Passes
internal import Reporting
internal import TensorCore
internal import WeightCodecs

/// Why a command stops, with the exit code that scripts see.
public struct JobError: Error, Equatable, CustomStringConvertible {
  /// The kinds of failure and their exit codes (sysexits.h).
  public enum Kind: Int32, Sendable {
    /// The command line cannot be meant as it stands.
    case usage = 64
    /// A model or recipe is broken, or does not fit.
    case badInput = 65
    /// Reading or writing failed.
    case inputOutput = 74
    /// A quality gate does not hold.
    case gate = 2
    /// Anything else.
    case other = 1
  }

  /// The kind.
  public var kind: Kind
  /// What, where, what to do: one line, whatever names a file contains.
  public var description: String

  /// A failure.
  public init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = OneLine.text(description)
  }

  /// Any error of this package as a job error; nil for errors from elsewhere.
  public init?(_ error: any Error) {
    switch error {
    case let error as JobError: self = error
    case let error as ModelFileError: self.init(JobError.kind(of: error), error.description)
    case let error as FileError: self.init(.inputOutput, error.description)
    case let error as ModelError: self.init(.badInput, error.description)
    case let error as TokenizerError: self.init(.badInput, error.description)
    case let error as RecipeError: self.init(.badInput, error.description)
    case let error as PassError: self.init(.badInput, error.description)
    case let error as EvaluationError: self.init(.badInput, error.description)
    case let error as CodingError: self.init(.badInput, error.description)
    case let error as ReportError: self.init(.badInput, error.description)
    case let error as JSONError: self.init(.badInput, error.description)
    default: return nil
    }
  }

  private static func kind(of error: ModelFileError) -> Kind {
    switch error.reason {
    case .system: .inputOutput
    case .unsafeOutput: .usage
    default: .badInput
    }
  }
}
