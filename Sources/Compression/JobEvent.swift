public import Reporting

/// What a job tells while it runs; the program draws it, tests collect it.
public enum JobEvent: Sendable, Equatable {
  /// A stage begins: its place and label.
  case stage(index: Int, count: Int, label: String)
  /// A step of the stage has come this far: 0 … 1.
  case progress(step: String, fraction: Double)
  /// A step is over, with a short remark such as "4.5 MB in 1.2 s".
  case done(step: String, remark: String)
  /// A stage is over, with what it came to.
  case finished(StageReport)
  /// Something the user should know; also in the report.
  case note(String)
}

/// Takes events, from any thread.
public typealias JobObserver = @Sendable (JobEvent) -> Void
