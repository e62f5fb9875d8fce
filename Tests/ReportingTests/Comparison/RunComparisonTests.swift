import Evaluation
import ModelFiles
import Reporting
import Testing

/// Several runs in one comparison: what is refused, what gates say, and the forms it is written in.
@Suite("Comparisons of runs")
struct RunComparisonTests {
  static let chunks = EvaluationChunks(
    chunks: (0..<12).map { EvaluationChunks.Chunk(tokens: [1, 2, 3, 4, 5 + $0], first: 0) }, context: 5,
    fromStart: true, addsBeginningOfText: true, textName: "books-valid.txt", textHash: "ff00", textTokens: 60)

  static func records(_ shift: Float, files: [String] = ["a"]) -> TokenRecords {
    func token(_ place: Int) -> TokenRecords.Token {
      let loss: Float = 2 + Float(place % 7) / 10 + shift + Float(place % 3) / 1000
      let divergence: Float = shift > 0 ? shift + Float(place % 5) / 10000 : 0
      return TokenRecords.Token(
        truth: UInt32(place % 9), loss: loss, divergence: divergence, isRight: place % 3 == 0,
        isSameTop: true)
    }
    let key = ReferenceKey(modelName: "m", files: files, vocabulary: 40, chunks: chunks)
    return TokenRecords(
      key: key, hasBaseline: shift > 0,
      blocks: [TokenRecords.Block](repeating: .init(count: 4), count: 12), tokens: (0..<48).map(token))
  }

  static func run(
    _ name: String, _ shift: Float, files: [String] = ["a"], edit: (inout RunReport) -> Void = { _ in }
  ) -> RunComparison.Run {
    var report = Samples.report([
      Samples.stage(
        index: 0, name: "baseline", evaluation: .language(Samples.metrics(nil), method: Samples.method)),
      Samples.stage(),
    ])
    report.stages[0].artifact.merkleRoot = files.joined()
    edit(&report)
    return .init(
      name: name, report: report, records: [records(0, files: files), records(shift, files: files)])
  }

  @Test("a baseline of both runs is there once; pairs are compared across runs")
  func entries() throws {
    let comparison = try RunComparison([Self.run("a", 0.01), Self.run("b", 0.05)])
    #expect(comparison.entries.map(\.label) == ["a/0 baseline", "a/1 int4", "b/1 int4"])
    #expect(comparison.comparisons.map { [$0.first, $0.second] } == [[0, 1], [0, 2], [1, 2]])
    let last = try #require(comparison.comparisons.last)
    #expect(abs(last.tokens.loss.estimate.value - 0.04) < 1e-6)
    #expect(last.tokens.loss.verdict() == .worse && last.tokens.divergence?.verdict() == .worse)
    #expect(comparison.notes == [])
    #expect(comparison.text().contains("b/1 int4 against a/1 int4: KLD +0.040"))
  }

  @Test("runs of other models have divergences from other baselines, which are not compared")
  func otherModels() throws {
    let comparison = try RunComparison([Self.run("a", 0.01), Self.run("b", 0.05, files: ["b"])])
    #expect(comparison.entries.count == 4)
    #expect(comparison.notes.contains { $0.contains("different models") })
    let pair = try #require(comparison.comparisons.first { $0.first == 1 && $0.second == 3 })
    #expect(pair.tokens.divergence == nil && pair.tokens.loss.verdict() == .worse)
  }

  @Test("another text, context, BOS or way of scoring is refused, and named")
  func refusals() throws {
    func message(_ edit: (inout LanguageMethod) -> Void) -> String {
      let other = Self.run("b", 0.05) { report in
        for place in report.stages.indices {
          guard case .language(let metrics, var method) = report.stages[place].evaluation else { continue }
          edit(&method)
          report.stages[place].evaluation = .language(metrics, method: method)
        }
      }
      do { _ = try RunComparison([Self.run("a", 0.01), other]) } catch { return "\(error)" }
      return "accepted"
    }
    #expect(
      message { $0.context = 256 }
        == "b: the context is 256, but 512 in a: the figures do not compare; evaluate both alike")
    #expect(
      message { $0.textHash = "0123456789abcdef" }.contains(
        "the text 'books-valid.txt' (SHA-256 0123456789ab…)"))
    #expect(
      message { $0.addsBeginningOfText = false }.contains("each chunk begins without BOS, but with BOS in a"))
    #expect(message { $0.fromStart = true }.contains("scored are all tokens, but the second halves"))
    #expect(message { $0.isSpread = true }.contains("chunks are from all over the text"))
    #expect(message { $0.activations = "f32" } == "accepted")
    let encoder = Self.run("b", 0.1) { $0.stages = [Samples.encoderStage] }
    #expect(throws: ReportError.self) { try RunComparison([Self.run("a", 0.01), encoder]) }
  }

  @Test("what a gate may be")
  func gateTexts() {
    #expect(Gate("max-kld=0.02")?.limit == 0.02)
    #expect(Gate("min-agreement=95%")?.limit == 0.95)
    #expect(Gate("max-size=40MB")?.limit == 40_000_000)
    #expect(Gate("min-speedup=1.5x")?.limit == 1.5)
    for bad in [
      "max-kld", "max-kld=", "max-kld=x", "speed=2", "min-speedup=-1", "min-speedup=nan", "max-size=5", "=3",
    ] {
      let gate = Gate(bad)
      #expect(gate == nil || bad == "max-size=5", "\(bad)")
    }
  }

  @Test("gates hold or say by how much they fail")
  func gates() throws {
    var comparison = try RunComparison([Self.run("a", 0.01)])
    let texts = [
      "max-size=4MB", "min-ratio=2", "min-speedup=1.5", "max-kld=0.02", "max-bpw=5", "min-decode=1",
    ]
    try comparison.check(texts.compactMap { Gate($0) })
    let results = Dictionary(uniqueKeysWithValues: comparison.gates.map { ($0.gate, $0) })
    #expect(results.count == 6)
    #expect(results["max-size=4MB"]?.holds == false)
    #expect(results["max-size=4MB"]?.message == "4.55 MB; above the limit by 554 kB (13.9 %)")
    #expect(results["min-ratio=2"]?.holds == true)
    // Baseline and stage have one speed.
    #expect(results["min-speedup=1.5"]?.message == "1.00×; below the limit by 0.500× (33.3 %)")
    // The bound of 0.8 / 255 in one chunk and nothing in the other is far above the mean.
    #expect(results["max-kld=0.02"]?.bound != nil)
    #expect(results["max-bpw=5"]?.holds == true && results["min-decode=1"]?.holds == true)
    #expect(comparison.failure?.hasPrefix("a/1 int4: max-size=4MB: 4.55 MB; above") == true)
    let gates = texts.compactMap { Gate($0) }
    #expect(throws: ReportError.self) { try comparison.check(gates, stage: "nothing") }
    try comparison.check([try #require(Gate("max-size=20MB"))], stage: "baseline")
    #expect(comparison.failure == nil && comparison.gates.map(\.stage) == ["a/0 baseline"])
  }

  @Test("a stage that failed keeps no gate; what was not measured holds nothing")
  func failedGates() throws {
    let failed = Self.run("a", 0.01) {
      $0.failure = StageFailure(index: 2, name: "int2", message: "no")
    }
    var comparison = try RunComparison([failed])
    try comparison.check([try #require(Gate("max-size=40MB"))])
    #expect(comparison.gates.map(\.message) == ["the stage failed: no"] && comparison.failure != nil)
    var silent = try RunComparison([Self.run("a", 0.01) { $0.stages[1].latency = nil }])
    try silent.check([try #require(Gate("min-speedup=1"))])
    #expect(silent.gates.map(\.message) == ["not measured"] && silent.gates.allSatisfy { !$0.holds })
  }

  @Test("JSON, JUnit, annotations, Markdown and the page")
  func forms() throws {
    var comparison = try RunComparison([Self.run("a<b", 0.01), Self.run("c", 0.05)])
    try comparison.check([try #require(Gate("max-size=4MB")), try #require(Gate("min-ratio=2"))])
    let json = try JSONValue(parsing: comparison.json.text())
    #expect(json["entries"]?.arrayValue?.count == 3 && json["gates"]?.arrayValue?.count == 4)
    let stage = try #require(json["entries"]?.arrayValue?.last?["stage"])
    #expect(try StageReport(json: stage) == comparison.entries.last?.stage)
    let junit = comparison.junit
    #expect(junit.contains("tests=\"4\" failures=\"2\""))
    #expect(junit.contains("classname=\"a&lt;b/1 int4\" name=\"max-size=4MB\"><failure message="))
    let lines = comparison.annotations.split(separator: "\n")
    #expect(lines.count == 4 && lines.count { $0.hasPrefix("::error title=") } == 2)
    #expect(lines[0].hasSuffix("::4.55 MB; above the limit by 554 kB (13.9 %25)"))
    #expect(comparison.markdown.contains("## Gates") && comparison.markdown.contains("a\\<b/1 int4"))
    let page = try HTMLReportTests.check(HTMLReport.text(comparison), against: comparison.json)
    #expect(page.elements.count { $0.name == "polygon" } >= 2)
    #expect(
      comparison.text(width: 60).split(separator: "\n").filter { $0.contains("stage") }.allSatisfy {
        $0.count <= 60
      })
  }
}
