public import Evaluation

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
    if let bytes = latency.bytesPerToken {
      rows.append(["weights read for a token", NumberFormat.bytes(bytes)])
    }
    if let memory = latency.peakMemory { rows.append(["peak memory", NumberFormat.bytes(memory)]) }
    rows.append(["threads", "\(latency.threads)"])
    rows.append(["machine", "\(machine.processor), \(machine.instructionSet)"])
    return columns(rows)
  }

  private static func columns(_ rows: [[String]]) -> String {
    let width = rows.map { $0[0].count }.max() ?? 0
    return rows.map { row in
      row[0] + String(repeating: " ", count: width - row[0].count) + "  " + row[1] + "\n"
    }.joined()
  }
}
