// swift-tools-version: 6.2
import PackageDescription

/// One set of Swift settings for every target.
let settings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),  // SE-0335: `any` is always written
  .enableUpcomingFeature("MemberImportVisibility"),  // SE-0444: members need their own import
  .enableUpcomingFeature("InternalImportsByDefault"),  // SE-0409: re-exports are written `public import`
]

let package = Package(
  name: "compress",
  products: [
    .executable(name: "compress", targets: ["compress"]),
    .library(name: "Compression", targets: ["Compression"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
  ],
  targets: [
    // MARK: C and system libraries
    .target(name: "CKernels"),
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .target(name: "CDefaultText"),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),

    // MARK: Numbers and formats
    .target(
      name: "TensorCore", dependencies: ["CKernels", "COpenBLAS"], swiftSettings: settings),
    .target(name: "WeightCodecs", dependencies: ["TensorCore", "CKernels"], swiftSettings: settings),
    .target(
      name: "ModelFiles",
      dependencies: [
        "TensorCore", "WeightCodecs", "CZstd", .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: settings),

    // MARK: Models
    .target(
      name: "Models", dependencies: ["TensorCore", "WeightCodecs", "ModelFiles"],
      swiftSettings: settings),

    .target(
      name: "Training", dependencies: ["TensorCore", "WeightCodecs", "ModelFiles", "Models"],
      swiftSettings: settings),

    // MARK: What a run does
    .target(
      name: "Passes",
      dependencies: [
        "TensorCore", "WeightCodecs", "ModelFiles", "Models", "Training",
        .product(name: "Yams", package: "Yams"),
      ],
      swiftSettings: settings),
    .target(
      name: "Evaluation",
      dependencies: ["TensorCore", "ModelFiles", "Models"],
      swiftSettings: settings),
    .target(
      name: "Reporting", dependencies: ["ModelFiles", "Evaluation", "Passes", "Training"],
      swiftSettings: settings),
    .target(
      name: "Compression",
      dependencies: [
        "CDefaultText", "TensorCore", "WeightCodecs", "ModelFiles", "Models", "Passes", "Evaluation",
        "Reporting",
      ],
      swiftSettings: settings),

    // MARK: The program
    .executableTarget(
      name: "compress",
      dependencies: [
        "TensorCore", "WeightCodecs", "ModelFiles", "Models", "Training", "Passes", "Evaluation", "Reporting",
        "Compression", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: settings),

    // MARK: Tests
    .target(
      name: "TestSupport", dependencies: ["TensorCore"], path: "Tests/TestSupport",
      swiftSettings: settings),
    .testTarget(
      name: "TensorCoreTests",
      dependencies: [
        "TensorCore", "CKernels", "TestSupport", .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: settings),
    .testTarget(
      name: "WeightCodecsTests", dependencies: ["WeightCodecs", "TensorCore", "CKernels", "TestSupport"],
      exclude: ["Fixtures"], swiftSettings: settings),
    .testTarget(
      name: "ModelFilesTests",
      dependencies: ["ModelFiles", "TensorCore", "WeightCodecs", "TestSupport"],
      exclude: ["Fixtures"], swiftSettings: settings),
    .testTarget(
      name: "ModelsTests",
      dependencies: ["Models", "ModelFiles", "TensorCore", "CKernels", "WeightCodecs", "TestSupport"],
      exclude: ["Fixtures"], swiftSettings: settings),
    .testTarget(
      name: "TrainingTests",
      dependencies: ["Training", "Models", "ModelFiles", "TensorCore", "WeightCodecs", "TestSupport"],
      exclude: ["Fixtures"], swiftSettings: settings),
    .testTarget(
      name: "EvaluationTests",
      dependencies: ["Evaluation", "Models", "ModelFiles", "TensorCore", "TestSupport"],
      exclude: ["Fixtures"], swiftSettings: settings),
    .testTarget(
      name: "ReportingTests",
      dependencies: ["Reporting", "Evaluation", "Passes", "Training", "ModelFiles", "TestSupport"],
      swiftSettings: settings),
    .testTarget(
      name: "PassesTests",
      dependencies: [
        "Passes", "Models", "ModelFiles", "TensorCore", "WeightCodecs", "Training", "TestSupport",
      ],
      swiftSettings: settings),
    .testTarget(
      name: "CompressionTests",
      dependencies: [
        "Compression", "Passes", "Models", "ModelFiles", "Evaluation", "Reporting", "TensorCore",
        "Training", "TestSupport",
      ],
      swiftSettings: settings),
    .testTarget(
      name: "CommandLineTests", dependencies: ["compress", "ModelFiles", "TensorCore", "TestSupport"],
      exclude: ["Snapshots"], swiftSettings: settings),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17
)
