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
  ///
  /// - Parameter bandwidth: bytes that this machine reads in a second on as many threads, or nil.
  public static func text(of latency: LatencyMetrics, machine: Machine, bandwidth: Double? = nil) -> String {
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
    if let bandwidth, let fraction = readFraction(latency, bandwidth) {
      rows.append([
        "decode reads",
        "\(NumberFormat.rate(fraction * bandwidth * 1e-9)) GB/s, \(NumberFormat.fixed(100 * fraction, 0)) % of the "
          + "\(NumberFormat.rate(bandwidth * 1e-9)) that \(latency.threads) thread\(latency.threads == 1 ? "" : "s") can read",
      ])
    }
    if let memory = latency.peakMemory { rows.append(["peak memory", NumberFormat.bytes(memory)]) }
    rows.append(["threads", "\(latency.threads)"])
    rows.append(["machine", "\(machine.processor), \(machine.instructionSet)"])
    return columns(rows)
  }

  /// The bytes of weights that decoding reads in a second, as a part of what can be read.
  private static func readFraction(_ latency: LatencyMetrics, _ bandwidth: Double) -> Double? {
    guard let bytes = latency.bytesPerToken, let decode = latency.decode, bandwidth > 0 else { return nil }
    return Double(bytes) * decode.rate / bandwidth
  }

  /// ``LatencyMetrics/json``, and what part of the machine's read bandwidth decoding takes.
  public static func json(of latency: LatencyMetrics, bandwidth: Double?) -> JSONValue {
    guard let bandwidth, let fraction = readFraction(latency, bandwidth),
      var object = latency.json.objectValue
    else { return latency.json }
    object["readBandwidth"] = .rounded(bandwidth)
    object["readFraction"] = .rounded(fraction)
    return .object(object)
  }

  private static func columns(_ rows: [[String]]) -> String {
    let width = rows.map { $0[0].count }.max() ?? 0
    return rows.map { row in
      row[0] + String(repeating: " ", count: width - row[0].count) + "  " + row[1] + "\n"
    }.joined()
  }
}
