import Evaluation
import Foundation
import ModelFiles
import Passes
import Reporting
import Testing

/// Pages: well-formed, self-contained, and with no number that report.json does not have.
@Suite("HTML reports")
struct HTMLReportTests {
  /// The value at a path such as "stages[1].size.packedBytes".
  static func value(_ path: String, in document: JSONValue) -> JSONValue? {
    var value: JSONValue? = document
    for part in path.split(separator: ".") {
      let name = part.prefix { $0 != "[" }
      value = value?[String(name)]
      for index in part.dropFirst(name.count).split(separator: "[") {
        guard let place = Int(index.dropLast()), let elements = value?.arrayValue, place < elements.count
        else {
          return nil
        }
        value = elements[place]
      }
    }
    return value
  }

  /// The number that a text begins with, and what a step of its last digit is.
  static func number(_ text: String) -> (value: Double, step: Double)? {
    let plain = text.replacing(",", with: "").replacing("+", with: "")
    let digits = plain.prefix { $0.isNumber || "-.e".contains($0) }
    guard let value = Double(digits) else { return nil }
    let parts = digits.split(separator: "e")
    let decimals = parts[0].split(separator: ".").dropFirst().first?.count ?? 0
    return (value, pow(10, Double(parts.dropFirst().first.flatMap { Int($0) } ?? 0) - Double(decimals)))
  }

  static func check(_ html: String, against json: JSONValue) throws -> HTMLDocument {
    let page = HTMLDocument(html)
    #expect(page.faults == [])
    let cited = page.elements.filter { $0.name == "data" }
    for element in cited {
      let path = try #require(element.attributes["data-path"])
      let found = value(path, in: json)
      let wanted = try #require(found?.doubleValue, "\(path) is not in the report")
      #expect(element.attributes["value"] == found?.text(), "\(path)")
      // What is shown is the number, in some unit, rounded.
      let shown = try #require(number(element.text), "\(element.text)")
      let scales = [1, 100, 1e3, 1e6, 1e-3, 1e-6, 1e-9]
      #expect(
        scales.contains { abs(wanted * $0 - shown.value) <= shown.step * 0.5000001 + 1e-12 },
        "\(path): \(element.text) for \(wanted)")
    }
    return page
  }

  static func run(_ count: Int) -> RunReport {
    var stages = [
      Samples.stage(
        index: 0, name: "baseline", evaluation: .language(Samples.metrics(nil), method: Samples.method))
    ]
    stages[0].tokens = Samples.tokens
    stages[0].tokens?.histogram = nil
    stages[0].tokens?.passages = []
    for index in 1..<max(1, count) {
      var stage = index % 3 == 0 ? Samples.calibratedStage : Samples.stage()
      stage.index = index
      stage.name = "stage-\(index)"
      stage.tokens = Samples.tokens
      stage.size.packedBytes -= index * 200_000
      stages.append(stage)
    }
    return Samples.report(Array(stages.prefix(count)))
  }

  @Test("runs of 1, 2 and 12 stages", arguments: [1, 2, 12])
  func runs(count: Int) throws {
    let report = Self.run(count)
    let html = HTMLReport.text(report)
    let page = try Self.check(html, against: report.json)
    #expect(html.utf8.count < 1_000_000)
    #expect(page.elements.count { $0.name == "data" } >= 10 * count)
    #expect(page.elements.filter { $0.name == "h1" }.map(\.text) == ["books-7m: int4"])
    let sections = page.elements.filter { $0.name == "section" }.compactMap { $0.attributes["id"] }
    #expect(
      sections
        == (count == 1
          ? ["stages", "bytes", "method", "notes", "reproduction"]
          : [
            "stages", "verdicts", "pareto",
          ] + (count > 3 ? ["training"] : []) + ["bytes", "divergence", "layers"]
            + (count > 3 ? ["weights"] : [])
            + ["passages"] + (count > 3 ? ["budget"] : []) + ["method", "notes", "reproduction"]))
    // All pairs, and no more.
    let verdicts = page.elements.filter { $0.attributes["class"]?.hasPrefix("v ") ?? false }
    let pairs = count * (count - 1) / 2
    let budget = report.stages.reduce(0) { $0 + ($1.budget?.checks.count ?? 0) }
    #expect(verdicts.count == 2 * pairs + (count - 1) * (count - 2) / 2 + budget)
    // Rows of the table of stages.
    #expect(
      page.elements.count {
        $0.name == "th" && $0.attributes["scope"] == "row" && $0.text == "0 baseline"
      } >= 2)
    #expect(html.contains("compress --int4 &#39;my model.bin&#39;"))
  }

  @Test("12 stages of a model of 40 layers take less than a megabyte")
  func size() throws {
    var report = Self.run(12)
    for place in report.stages.indices.dropFirst() {
      report.stages[place].tensors = (0..<40).flatMap { block in
        (0..<7).map { kind in
          var tensor = Samples.stage().tensors[0]
          tensor.name = "model.layers.\(block).self_attn.projection_\(kind).weight"
          tensor.role = ["query", "key", "value", "attention-output", "gate", "up", "down"][kind]
          tensor.outcome = TensorOutcome(method: "gptq", heldOutError: 0.00123, plainError: 0.00456)
          return tensor
        }
      }
      report.stages[place].distributions = (0..<4).map { _ in
        var wide = Samples.distribution
        wide.original = (0..<49).map { $0 * 100 }
        wide.stored = wide.original
        wide.codes = .init(lowest: -127, step: 4, counts: (0..<64).map { $0 * 1000 })
        return wide
      }
      let token = TokenReport.Token(text: " word", divergence: 0.0123, loss: 1.5)
      report.stages[place].tokens?.passages = (0..<10).map {
        .init(chunk: $0, position: 3, mean: 0.0123, tokens: [TokenReport.Token](repeating: token, count: 24))
      }
    }
    let html = HTMLReport.text(report)
    _ = try Self.check(html, against: report.json)
    #expect(html.utf8.count < 1_000_000, "\(html.utf8.count)")
    #expect(html.contains("No room for pictures"))
  }

  @Test("every kind of stage, and a failed one")
  func kinds() throws {
    let report = Samples.report(Samples.all)
    let html = HTMLReport.text(report)
    _ = try Self.check(html, against: report.json)
    #expect(
      html.contains("<b>Stage 6, int2, failed:</b> text: the model&#39;s logits are not &lt;finite&gt;"))
    #expect(html.contains("<span class=\"v worse\">failed</span>"))
    #expect(html.contains("not evaluated: unknown architecture"))
    #expect(html.contains("The budget does not hold") == (report.stages.last?.budget != nil))
    for stage in Samples.all {
      let single = RunReport(
        date: "2026-11-24T02:30:00Z", seconds: 1, recipeName: "r", recipe: .null, run: Samples.run,
        stages: [stage])
      _ = try Self.check(HTMLReport.text(single), against: single.json)
    }
    let none = RunReport(
      date: "", seconds: 0, recipeName: "", recipe: .null, run: Samples.run, stages: [])
    _ = try Self.check(HTMLReport.text(none), against: none.json)
  }

  @Test("nothing is loaded, nothing runs, and what files hold is text")
  func selfContained() throws {
    var report = Self.run(3)
    report.run.model = "<script>alert(1)</script>"
    report.stages[1].notes = ["\"><img src=x onerror=alert(1)>", "a\u{202E}b\u{7}"]
    report.stages[1].tensors[0].name = "a\"onmouseover=\"x"
    report.stages[2].tokens?.passages[0].tokens[0].text = "</span><script>x</script>"
    let html = HTMLReport.text(report)
    let page = try Self.check(html, against: report.json)
    let names = Set(page.elements.map(\.name))
    #expect(names.isDisjoint(with: ["script", "img", "link", "iframe", "object", "form", "base"]))
    for element in page.elements {
      for (key, value) in element.attributes {
        #expect(!key.hasPrefix("on") && key != "href" && key != "src", "\(element.name) \(key)=\(value)")
        #expect(!value.contains("url("))
      }
    }
    #expect(!html.contains("http:") && !html.contains("https:"))
    #expect(!html.contains("\u{202E}") && !html.contains("\u{7}"))
    #expect(html.contains("default-src 'none'"))
  }

  @Test("cells of tables have no number that is not cited, but for those that text is made of")
  func cited() throws {
    let report = Self.run(4)
    let page = HTMLDocument(HTMLReport.text(report))
    let inside = page.elements.filter { $0.name == "data" && $0.parents.contains("td") }.count
    #expect(inside > 100)
    // The stage table and the verdicts: a cell is cited numbers and signs.
    for element in page.elements where element.name == "td" && element.attributes["class"] == "n" {
      let label = element.attributes["data-label"] ?? ""
      guard !ByteNames.all.contains(label), !label.isEmpty else { continue }
      let rest = page.elements.filter { $0.name == "data" }.map(\.text).sorted { $0.count > $1.count }
        .reduce(element.text) { $0.replacing($1, with: "") }
      #expect(!rest.contains { $0.isNumber }, "\(label): \(element.text)")
    }
  }

  @Test("pictures of codes and sums of bytes are those of report.json")
  func pictures() throws {
    let report = Self.run(4)
    let page = HTMLDocument(HTMLReport.text(report))
    let titles = page.elements.filter { $0.name == "title" && $0.text.hasPrefix("code ") }.map(\.text)
    let codes = try #require(report.stages[3].distributions[0].codes)
    #expect(
      titles == codes.counts.enumerated().filter { $1 > 0 }.map { "code \(codes.lowest + $0): \($1)" })
    for element in page.elements where element.name == "td" {
      guard let label = element.attributes["data-label"], ByteNames.all.contains(label) else { continue }
      let bytes = Int(element.text.replacing(",", with: ""))
      let sums = report.stages.map { stage in
        stage.tensors.filter { $0.role == (label == "other" ? "other" : "query") }.reduce(0) { $0 + $1.bytes }
      }
      #expect(bytes.map(sums.contains) ?? false, "\(label): \(element.text)")
    }
  }

  private enum ByteNames {
    /// Columns of sums over tensors, whose parts report.json has.
    static let all: Set<String> = [
      "embedding", "attention", "feed-forward", "output", "norms and biases", "other",
    ]
  }

  @Test("the few tokens of a short text are told, and nothing is ranked")
  func shortText() throws {
    var metrics = LanguageMetrics(
      context: 109,
      chunks: [
        ChunkSums(tokens: 54, loss: 80, baselineLoss: 79, divergence: 1, sameTop: 50, squaredDelta: 0.1)
      ],
      divergences: [0.1, 0.2])
    metrics.tokens = 54
    var report = Self.run(2)
    report.stages[1].evaluation = .language(metrics, method: Samples.method)
    report.stages[0].evaluation = .language(metrics, method: Samples.method)
    report.comparisons = Samples.comparisons(2).map { comparison in
      var comparison = comparison
      comparison.tokens.loss = PairedDifference([BlockSum(sum: 1, count: 54)])
      comparison.tokens.accuracy = PairedDifference([BlockSum(sum: 1, count: 54)])
      return comparison
    }
    let html = HTMLReport.text(report)
    _ = try Self.check(html, against: report.json)
    #expect(html.contains("Too little text:</b>") && html.contains("scored tokens in one chunk"))
    #expect(html.contains("? unknown") && html.contains("One block says nothing about chance"))
    #expect(!html.contains("▲ better") && !html.contains("▼ worse"))
  }

  @Test("ties are not ranked")
  func ties() {
    var report = Self.run(3)
    report.comparisons = report.comparisons.map { comparison in
      var comparison = comparison
      comparison.tokens.loss.adjusted = 0.4
      comparison.tokens.accuracy.adjusted = 0.4
      comparison.tokens.divergence?.adjusted = 0.4
      return comparison
    }
    let html = HTMLReport.text(report)
    #expect(html.contains("= tie"))
    for word in ["▲", "▼"] { #expect(!html.contains(word)) }
  }

  @Test("pages to look at, where a folder is named")
  func pages() throws {
    guard let folder = ProcessInfo.processInfo.environment["COMPRESS_TEST_PAGES"] else { return }
    for count in [1, 2, 12] {
      try HTMLReport.text(Self.run(count)).write(
        toFile: "\(folder)/sample-\(count).html", atomically: true, encoding: .utf8)
    }
    var encoders = [Samples.encoderStage, Samples.encoderStage]
    encoders[0].index = 0
    encoders[0].name = "baseline"
    for (name, stages) in [("failed", Samples.all), ("sample-encoder", encoders)] {
      try HTMLReport.text(Samples.report(stages)).write(
        toFile: "\(folder)/\(name).html", atomically: true, encoding: .utf8)
    }
  }
}
