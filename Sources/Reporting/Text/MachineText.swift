public import Evaluation
public import ModelFiles

/// The machine's limits: what `bench --machine` prints.
public enum MachineText {
  /// Two tables: reading, and arithmetic; each figure with its slowest and fastest run.
  public static func text(of limits: MachineLimits, machine: Machine) -> String {
    var reading = TextTable(
      heads: ["read from", "threads", "bytes", "GB/s", "slowest", "fastest"],
      alignments: [.left, .right, .right, .right, .right, .right])
    reading.rows = limits.reading.map {
      [$0.level.rawValue, "\($0.threads)", NumberFormat.bytes($0.bytes)] + rates($0.rate)
    }
    var arithmetic = TextTable(
      heads: ["multiply and add", "instructions", "threads", "GFLOP/s", "slowest", "fastest"],
      alignments: [.left, .left, .right, .right, .right, .right])
    arithmetic.rows = limits.arithmetic.map {
      [$0.kind, $0.instructions ?? "not available", "\($0.threads)"]
        + ($0.rate.map(rates) ?? ["–", "–", "–"])
    }
    let runs = limits.reading.first?.rate.runs ?? 0
    return "\(machine.processor), \(machine.processors) processors\n\n"
      + (reading.lines + [""] + arithmetic.lines).joined(separator: "\n")
      + "\n\nmedians of \(runs) runs; int8 in operations, a multiplication and an addition being two\n"
  }

  private static func rates(_ rate: MachineLimits.Rate) -> [String] {
    [rate.median, rate.least, rate.most].map { NumberFormat.rate($0 * 1e-9) }
  }

  /// The same as JSON: `machine`, `reading` in bytes a second, `arithmetic` in operations a second.
  public static func json(of limits: MachineLimits, machine: Machine) -> JSONValue {
    .fields([
      ("machine", machine.json),
      (
        "reading",
        .array(
          limits.reading.map {
            .fields([
              ("level", .string($0.level.rawValue)), ("threads", .integer($0.threads)),
              ("bytes", .integer($0.bytes)),
              ("bytesPerSecond", json(of: $0.rate)),
            ])
          })
      ),
      (
        "arithmetic",
        .array(
          limits.arithmetic.map {
            .fields([
              ("kind", .string($0.kind)), ("instructions", .optional($0.instructions)),
              ("threads", .integer($0.threads)), ("operationsPerSecond", $0.rate.map(json) ?? .null),
            ])
          })
      ),
    ])
  }

  private static func json(of rate: MachineLimits.Rate) -> JSONValue {
    .fields([
      ("median", .rounded(rate.median)), ("slowest", .rounded(rate.least)), ("fastest", .rounded(rate.most)),
      ("runs", .integer(rate.runs)),
    ])
  }
}
