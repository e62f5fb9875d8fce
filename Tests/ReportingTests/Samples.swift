import Evaluation
import ModelFiles
import Passes
import Reporting
import Training

/// Reports with every part filled in, or every optional part left out.
enum Samples {
  static let machine = Machine(
    processor: "Some CPU", processors: 4, instructionSet: "avx2", memory: 16_000_000_000,
    governor: "performance",
    system: "Linux 6.1 x86_64")
  static let run = RunContext(
    model: "books-7m", source: ["model.safetensors": "0a1b"], toolVersion: "0.1.0",
    command: ["compress", "--int4", "my model.bin"], threads: 4, seed: 0, machine: machine)

  static let divergence = Divergence(
    baselinePerplexity: Estimate(60.1234, standardError: 0.42),
    mean: Estimate(0.003106, standardError: 0.000018),
    median: 0.0019, percentile99: 0.0151, percentile999: 0.0412, maximum: 0.21,
    sameTop: Estimate(0.953, standardError: 0.0011),
    deltaProbability: Estimate(0.0123, standardError: 0.0004),
    logRatio: Estimate(0.0021, standardError: 0.0004))

  static func metrics(_ divergence: Divergence?) -> LanguageMetrics {
    LanguageMetrics(
      tokens: 510, context: 512, loss: Estimate(4.098, standardError: 0.007),
      perplexity: Estimate(60.25, standardError: 0.42), divergence: divergence,
      chunks: [
        ChunkSums(
          tokens: 255, loss: 1045.5, baselineLoss: 1045, divergence: 0.8, sameTop: 240, squaredDelta: 0.02),
        ChunkSums(tokens: 255, loss: 1044.25),
      ])
  }

  static let method = LanguageMethod(
    text: "books-valid.txt", textHash: "ff00", textTokens: 300_000, context: 512, fromStart: false,
    addsBeginningOfText: true, isDocuments: false)

  static let latency = LatencyMetrics(
    prefill: .init(tokens: 256, runs: 10, median: 0.0002, deviation: 0.000001, percentile95: 0.00025),
    decode: .init(tokens: 64, runs: 10, median: 0.0011, deviation: 0.00001, percentile95: 0.0016),
    timeToFirstToken: 0.0234, bytesPerToken: 4_400_000, peakMemory: 52_000_000, isPeakOfStage: true,
    threads: 4)

  static var sweptLatency: LatencyMetrics {
    var result = latency
    result.readBandwidth = 40e9
    result.coldFirstToken = 0.31
    result.energyPerToken = 0.021
    result.wholeRows = .init(
      prefill: .init(tokens: 256, runs: 5, median: 0.0002, deviation: 0.000001, percentile95: 0.00025),
      decode: .init(tokens: 64, runs: 5, median: 0.0016, deviation: 0.00001, percentile95: 0.0018),
      prefillSpeedup: .init(ratio: 0.99, interval: .init(0.96, 1.02), rounds: 5),
      decodeSpeedup: .init(ratio: 1.41, interval: .init(1.38, 1.44), rounds: 5))
    result.sweep = [
      .init(
        threads: 1,
        prefill: .init(tokens: 256, runs: 10, median: 0.0006, deviation: 0.000002, percentile95: 0.0007),
        decode: .init(tokens: 64, runs: 10, median: 0.0015, deviation: 0.00002, percentile95: 0.0019),
        readBandwidth: 21e9)
    ]
    return result
  }

  static let tokens = TokenReport(
    file: "tokens.bin", accuracy: Estimate(0.381, standardError: 0.012),
    histogram: .init(low: -8, perDecade: 1, below: 3, counts: [0, 0, 1, 20, 200, 280, 6, 0, 0, 0]),
    passages: [
      .init(
        chunk: 1, position: 17, mean: 0.0712,
        tokens: [
          .init(text: "<b>\"a\" & 'b'", divergence: 0.14, loss: 3.25),
          .init(text: "", divergence: 0.0012, loss: 0.5), .init(text: "\n", divergence: 0, loss: 7.125),
        ])
    ])

  static let distribution = TensorDistribution(
    name: "blk.0.attn_q.weight", tensor: 0, weights: 65_536, bound: 0.21,
    original: [0, 1, 90, 2000, 40_000, 21_000, 2400, 44, 0, 1],
    stored: [0, 0, 100, 2100, 39_900, 20_900, 2500, 36, 0, 0],
    codes: .init(
      lowest: -8, step: 1,
      counts: [3, 10, 50, 200, 900, 5000, 15_000, 20_000, 12_000, 8000, 3000, 1000, 300, 60, 12, 1]))

  static func difference(_ value: Double, adjusted: Double?) -> PairedDifference {
    // report.json holds ten digits.
    func rounded(_ value: Double) -> Double { (value * 1e6).rounded() / 1e6 }
    return PairedDifference(
      estimate: Estimate(value, standardError: 0.0004), blocks: 32,
      interval: .init(rounded(value - 0.0008), rounded(value + 0.0008)),
      bootstrap: .init(rounded(value - 0.00075), rounded(value + 0.0007)),
      probability: adjusted.map { $0 / 2 }, adjusted: adjusted, detectable: 0.0012)
  }

  /// All pairs of `count` stages: better, worse, ties, and blocks too few to tell.
  static func comparisons(_ count: Int) -> [StageComparison] {
    (0..<count).flatMap { second in
      (0..<second).map { first in
        let adjusted = [0.0003, 0.7, nil][(first + second) % 3]
        return StageComparison(
          first: first, second: second,
          tokens: TokenComparison(
            loss: difference(second % 2 == 0 ? 0.0021 : -0.0034, adjusted: adjusted),
            divergence: first == 0 ? nil : difference(-0.00312, adjusted: adjusted),
            accuracy: difference(0.0011, adjusted: adjusted),
            flips: Flips(bothRight: 170, lost: 5 + first, gained: 7, bothWrong: 328)))
      }
    }
  }

  static func stage(
    index: Int = 1, name: String = "int4", evaluation: EvaluationReport? = nil,
    latency: LatencyMetrics? = latency
  ) -> StageReport {
    StageReport(
      index: index, name: name, pass: "Q4_K, embeddings Q6_K, norms F32",
      recipe: .object(JSONObject([("pass", .string("quantize")), ("bits", .integer(4))])),
      artifact: ArtifactReport(
        file: "books-7m.gguf.zst", container: "gguf", sha256: "abcd", merkleRoot: "ef01"),
      size: SizeReport(
        packedBytes: 4_554_304, decodedBytes: 4_700_000, tensorBytes: 4_600_000, parameters: 8_000_000,
        baselinePackedBytes: 14_000_000, sourceBytes: 16_000_000),
      tensors: [
        TensorReport(
          name: "blk.0.attn_q.weight", role: "query", shape: [256, 256], format: "q4_k", bytes: 36864,
          relativeSquaredError: 0.00213),
        TensorReport(
          name: "odd|name", role: "other", shape: [172], format: "f32", bytes: 688, note: "rows of 172"),
      ],
      evaluation: evaluation ?? .language(metrics(divergence), method: method), latency: latency,
      notes: ["a note"], warnings: ["a warning"], run: run)
  }

  /// Everything that may be missing is.
  static var bareStage: StageReport {
    var stage = Samples.stage(
      index: 0, name: "baseline", evaluation: .none(reason: "unknown architecture"), latency: nil)
    stage.recipe = .null
    stage.size.baselinePackedBytes = nil
    stage.notes = []
    stage.warnings = []
    stage.run.machine.memory = nil
    stage.run.machine.governor = nil
    return stage
  }

  static var encoderStage: StageReport {
    var latency = Samples.latency
    latency.decode = nil
    latency.bytesPerToken = nil
    let metrics = EncoderMetrics(
      sentences: 2870, truncated: 3,
      similarity: .init(
        mean: Estimate(0.99912, standardError: 0.00002), minimum: 0.9912, percentile1: 0.9951),
      correlation: .init(
        pairs: 1500, spearman: Estimate(0.8672, standardError: 0.0081),
        pearson: Estimate(0.8696, standardError: 0.0078),
        baselineSpearman: Estimate(0.8679, standardError: 0.008),
        spearmanChange: Estimate(-0.0007, standardError: 0.0003)))
    return stage(
      evaluation: .encoder(
        metrics,
        method: EncoderMethod(text: "stsb-en-dev.csv", textHash: "12", context: 256, resamples: 2000, seed: 0)
      ),
      latency: latency)
  }

  /// With what only passes that observe, budgets and references bring.
  static var calibratedStage: StageReport {
    var divergence = Samples.divergence
    divergence.approximation = .init(tailMass: 0.00214, lowerBound: 0.00309)
    var stage = Samples.stage(
      evaluation: .language(metrics(divergence), method: method), latency: sweptLatency)
    stage.run.machine.features = ["avx2", "fma"]
    stage.tensors[0].outcome = TensorOutcome(
      method: "gptq", heldOutError: 0.00123, plainError: 0.00456, blend: 0.5, note: "ridge 1e-2")
    stage.tensors[1].outcome = TensorOutcome(method: "rtn")
    stage.training = TrainingReport(
      curve: [
        TrainingPoint(
          step: 0, loss: nil, heldOutKLD: 0.41, heldOutLoss: 4.6, learningRate: 0, tokensPerSecond: nil),
        TrainingPoint(
          step: 20, loss: 0.25, heldOutKLD: 0.22, heldOutLoss: 4.3, learningRate: 1e-4,
          tokensPerSecond: 6000),
      ], bestStep: 20, steps: 20, epochs: 0.25, loss: "forward-kl", learningRate: 1e-3, text: "books.txt",
      textHash: "0123abcd", tokens: 300_000, heldOutTokens: 8192)
    stage.calibration = CalibrationSummary(
      name: "notes.txt", sha256: "5a5a", textTokens: 91_000, context: 512, sequences: 56, tokens: 28_672,
      heldOutSequences: 8, heldOutTokens: 4096, vocabulary: 32_000, distinctTokens: 5211,
      evaluationCoverage: 0.987, overlap: .init(words: 13, runs: 9000, shared: 12))
    stage.tokens = tokens
    var wide = distribution
    wide.name = "odd|name"
    wide.tensor = 1
    wide.codes = nil
    stage.distributions = [distribution, wide]
    stage.budget = BudgetVerdict(
      confidence: 0.95, blocks: 32,
      checks: [
        .init(name: "max-kld", limit: 0.02, measured: 0.0031, bound: 0.0034, holds: true),
        .init(name: "min-agreement", limit: 0.99, measured: 0.953, bound: 0.951, holds: false),
        .init(name: "max-ppl-increase", limit: 0.01, measured: 0.002, bound: nil, holds: false),
      ])
    return stage
  }

  /// A pruned model that was compared with quantizing harder.
  static var prunedStage: StageReport {
    var report = stage(index: 2, name: "prune50")
    report.sparsity = SparsityReport(
      matrices: 2, weights: 1000, kept: 400, packedBytes: 309, maskBytes: 100, valueBytes: 200)
    report.frontier = FrontierVerdict(
      packedBytes: 4_554_304, secondsPerToken: 0.0011, divergence: divergence.mean,
      comparisons: [
        .init(
          basis: .bytes, alternative: "3 × q4_k", packedBytes: 4_500_000, secondsPerToken: 0.0012,
          divergence: Estimate(0.01, standardError: 0.001),
          difference: Estimate(0.02, standardError: 0.002), interval: 0.016...0.024)
      ], notes: ["nothing is said about equal latency"])
    return report
  }

  static var all: [StageReport] {
    [
      stage(), bareStage, encoderStage, calibratedStage, prunedStage,
      stage(evaluation: .language(metrics(nil), method: method)),
      stage(
        evaluation: .encoder(
          EncoderMetrics(sentences: 5, truncated: 0, similarity: nil, correlation: nil),
          method: EncoderMethod(text: "t", textHash: "", context: 8, resamples: 1, seed: 1))),
    ]
  }

  static func report(_ stages: [StageReport]) -> RunReport {
    RunReport(
      date: "2026-11-24T02:30:00Z", seconds: 12.5, recipeName: "int4",
      recipe: .object(JSONObject([("passes", .array([]))])), run: run, stages: stages,
      comparisons: comparisons(stages.count),
      failure: stages.count == all.count
        ? StageFailure(index: 6, name: "int2", message: "text: the model's logits are not <finite>") : nil,
      notes: ["of the run"])
  }
}
