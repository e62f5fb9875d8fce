public import Evaluation
public import ModelFiles

/// Single measurements as text for a terminal: what `eval` and `bench` print.
public enum MeasurementText {
  /// An evaluation: its figures in two columns, then how they were taken.
  public static func text(of evaluation: EvaluationReport, model: String) -> String {
    let rows = [["model", model]] + MarkdownReport.qualityRows(evaluation)
    let method = Methodology.full(evaluation).filter { $0 != "`" }
    return columns(rows) + "\n" + method + "\n"
  }

  /// Latency: speeds, load time, memory, and the machine.
  public static func text(of latency: LatencyMetrics, machine: Machine) -> String {
    func speed(_ name: String, _ speed: LatencyMetrics.Speed) -> [String] {
      [
        "\(name) (\(speed.tokens) tokens)",
        "\(NumberFormat.rate(speed.rate)) tok/s (95 % of runs: \(NumberFormat.rate(speed.slowRate)) or more)",
      ]
    }
    var rows = [speed("prefill", latency.prefill)]
    if let decode = latency.decode { rows.append(speed("decode", decode)) }
    if let time = latency.timeToFirstToken {
      rows.append([
        "time to first token, from opening the file", NumberFormat.seconds(time) + ", warm page cache",
      ])
    }
    if let time = latency.coldFirstToken {
      rows.append(["the same with the file out of memory", NumberFormat.seconds(time)])
    }
    if let joules = latency.energyPerToken {
      rows.append(["energy of a decoded token", NumberFormat.significant(joules, 3) + " J"])
    }
    if let bytes = latency.bytesPerToken {
      rows.append(["weights read for a token", NumberFormat.bytes(bytes)])
    }
    if let bandwidth = latency.readBandwidth, let fraction = latency.readFraction {
      rows.append([
        "decode reads",
        "\(NumberFormat.rate(fraction * bandwidth * 1e-9)) GB/s, \(NumberFormat.fixed(100 * fraction, 0)) % of the "
          + "\(NumberFormat.rate(bandwidth * 1e-9)) that \(latency.threads) thread\(latency.threads == 1 ? "" : "s") can read",
      ])
    }
    for other in latency.byThreads where other.threads != latency.threads {
      let decode = other.decode.map { ", decode \(NumberFormat.rate($0.rate)) tok/s" } ?? ""
      rows.append([
        "with \(other.threads) thread\(other.threads == 1 ? "" : "s")",
        "prefill \(NumberFormat.rate(other.prefill.rate)) tok/s\(decode)"
          + (latency.readFraction(of: other).map {
            ", \(NumberFormat.fixed(100 * $0, 0)) % of what can be read"
          }
            ?? ""),
      ])
    }
    for line in WholeRowsText.lines(latency) {
      rows.append([
        "\(line.name), zeros left out against whole rows",
        "\(WholeRowsText.ratio(line.speedup)) (whole rows: \(NumberFormat.rate(line.whole.rate)) tok/s)",
      ])
    }
    if let memory = latency.peakMemory { rows.append(["peak memory", NumberFormat.bytes(memory)]) }
    rows.append(["threads", "\(latency.threads)"])
    rows.append(["machine", "\(machine.processor), \(machine.instructionSet)"])
    return columns(rows)
  }

  /// A comparison of two models' latency.
  public static func text(of comparison: LatencyComparison, first: String, second: String) -> String {
    func row(
      _ name: String, _ a: LatencyMetrics.Speed, _ b: LatencyMetrics.Speed,
      _ speedup: LatencyComparison.Speedup
    )
      -> [String]
    {
      [
        name,
        "\(NumberFormat.rate(a.rate)) → \(NumberFormat.rate(b.rate)) tok/s: \(WholeRowsText.ratio(speedup))",
      ]
    }
    var rows = [["first", first], ["second", second]]
    rows.append(row("prefill", comparison.first.prefill, comparison.second.prefill, comparison.prefill))
    if let a = comparison.first.decode, let b = comparison.second.decode, let speedup = comparison.decode {
      rows.append(row("decode", a, b, speedup))
    }
    return columns(rows)
      + "\n\(comparison.prefill.rounds) rounds in turns (A B A B …) after a warm-up; ratios of the rounds' medians, with 95 % "
      + "intervals by Student's t.\n"
  }

  /// ``text(of:first:second:)`` as JSON.
  public static func json(of comparison: LatencyComparison, first: String, second: String) -> JSONValue {
    return .fields([
      ("schema", .string("compress.bench-comparison")), ("version", .integer(1)),
      ("models", .strings([first, second])), ("first", comparison.first.json),
      ("second", comparison.second.json), ("prefill", comparison.prefill.json),
      ("decode", comparison.decode?.json ?? .null),
    ])
  }

  private static func columns(_ rows: [[String]]) -> String {
    let width = rows.map { $0[0].count }.max() ?? 0
    return rows.map { row in
      row[0] + String(repeating: " ", count: width - row[0].count) + "  " + row[1] + "\n"
    }.joined()
  }
}
